"""Tiles: their paths in one spelling, which of them a tree has, and what they are made of (C2SP tlog-tiles)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panji.core import merkle, tiles
from panji.core.checkpoint import MAX_SIZE
from panji.core.merkle import Frontier, leaf_hash
from panji.core.tiles import ENTRIES, MAX_LEVEL, MAX_PATH, WIDTH, Tile
from panji.errors import AuditError, InputError

LEAVES = [leaf_hash(b"entry %d" % number) for number in range(70_000)]


def a_tile() -> st.SearchStrategy[Tile]:
    indexes = st.one_of(st.integers(0, 2000), st.integers(0, 2**63 - 1))
    return st.builds(Tile, st.integers(ENTRIES, MAX_LEVEL), indexes, st.integers(1, WIDTH))


# Paths.


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 0), "tile/0/000"),
        (Tile(1, 999), "tile/1/999"),
        (Tile(0, 1000), "tile/0/x001/000"),
        (Tile(0, 1234067), "tile/0/x001/x234/067"),  # the specification's own example
        (Tile(ENTRIES, 1234067, 112), "tile/entries/x001/x234/067.p/112"),
        (Tile(63, 0, 255), "tile/63/000.p/255"),
    ],
)
def test_a_tile_has_the_path_of_the_specification(tile: Tile, path: str) -> None:
    assert tile.path == path
    assert Tile.parse(path) == tile


@given(a_tile())
def test_every_path_leads_back_to_its_tile(tile: Tile) -> None:
    assert Tile.parse(tile.path) == tile
    assert len(tile.path) <= MAX_PATH


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("tile/00/000", id="level with a leading zero"),
        pytest.param("tile/64/000", id="level 64"),
        pytest.param("tile/-1/000", id="negative level"),
        pytest.param("tile/0/00", id="two digits"),
        pytest.param("tile/0/0000", id="four digits"),
        pytest.param("tile/0/001/234", id="missing x"),
        pytest.param("tile/0/x001/x234", id="x at the end"),
        pytest.param("tile/0/x000/234", id="x000 ahead"),
        pytest.param("tile/0/x1/234", id="short stem"),
        pytest.param("tile/0/X001/234", id="capital x"),
        pytest.param("tile/0/000.p/0", id="width 0"),
        pytest.param("tile/0/000.p/256", id="width of a full tile"),
        pytest.param("tile/0/000.p/257", id="width beyond"),
        pytest.param("tile/0/000.p/01", id="width with a leading zero"),
        pytest.param("tile/0/000.p/", id="no width"),
        pytest.param("tile/0/000.p", id="no width at all"),
        pytest.param("tile/0/000/", id="slash at the end"),
        pytest.param("/tile/0/000", id="slash ahead"),
        pytest.param("tile//000", id="no level"),
        pytest.param("tile/../tile/0/000", id="dots"),
        pytest.param("tile/0/../0/000", id="dots within"),
        pytest.param("tile/%30/000", id="per cent encoding"),
        pytest.param("tile/0/000?a", id="query"),
        pytest.param("tile/0/000\n", id="line feed"),
        pytest.param("tile/0/\u0660\u0660\u0660", id="other digits"),
        pytest.param("tile/data/000", id="another kind"),
        pytest.param("tile/0/" + "x999/" * 6 + "999", id="an index of more than 63 bits"),
        pytest.param("tile/0/" + "x999/" * 40 + "999", id="too long"),
        pytest.param("", id="nothing"),
    ],
)
def test_what_is_no_path_of_a_tile_is_refused(path: str) -> None:
    with pytest.raises(InputError):
        Tile.parse(path)


@pytest.mark.parametrize(
    ("level", "index", "width"),
    [(-2, 0, 1), (64, 0, 1), (0, -1, 1), (0, 2**63, 1), (0, 0, 0), (0, 0, 257)],
)
def test_a_tile_out_of_range_cannot_be_made(level: int, index: int, width: int) -> None:
    with pytest.raises(InputError):
        Tile(level, index, width)


# Which tiles a tree has.


def test_the_tiles_of_the_specifications_example() -> None:
    found = list(tiles.top_down(70_000))
    assert len(found) == len(set(found))
    hashes = [tile for tile in found if tile.level >= 0]
    full = [(tile.level, tile.index) for tile in hashes if not tile.partial]
    assert full == sorted(full, key=lambda one: (one[1] * 256 ** one[0], -one[0]))
    assert len([level for level, _ in full if level == 0]) == 273
    assert [index for level, index in full if level == 1] == [0]
    assert [tile for tile in hashes if tile.partial] == [Tile(2, 0, 1), Tile(1, 1, 17), Tile(0, 273, 112)]
    bundles = [tile for tile in found if tile.level == ENTRIES]
    assert bundles == [*(Tile(ENTRIES, number) for number in range(273)), Tile(ENTRIES, 273, 112)]


def test_a_tree_of_256_is_a_full_tile_and_one_above() -> None:
    assert list(tiles.top_down(256)) == [Tile(1, 0, 1), Tile(0, 0), Tile(ENTRIES, 0)]
    assert list(tiles.top_down(0)) == []
    assert list(tiles.top_down(1)) == [Tile(0, 0, 1), Tile(ENTRIES, 0, 1)]


@given(st.integers(0, MAX_SIZE))
def test_the_edge_is_what_the_specification_says(size: int) -> None:
    wide = [(level, (size >> 8 * level) % 256) for level in reversed(range(8))]
    assert [(tile.level, tile.width) for tile in tiles.edge(size)] == [one for one in wide if one[1]]
    assert all(tile.is_in(size) for tile in tiles.edge(size))


@given(st.integers(1, 200_000), st.data())
def test_every_tile_is_vouched_for_before_it_comes(size: int, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, size))
    seen: dict[tuple[int, int], Tile] = {}
    expected = start // WIDTH
    for tile in tiles.top_down(size, start):
        assert tile.is_in(size)
        assert tile.width == tiles.width_of(tile.level, tile.index, size)
        if tile.level == ENTRIES:
            assert tile.index == expected
            assert seen[0, tile.index].width == tile.width
            expected += 1
        elif not tile.partial:
            assert seen[tile.level + 1, tile.index // WIDTH].width > tile.index % WIDTH
        seen[tile.level, tile.index] = tile
    assert expected == -(-size // WIDTH)


@given(st.integers(0, MAX_SIZE), a_tile())
def test_a_tile_is_in_every_tree_that_has_its_last_hash(size: int, tile: Tile) -> None:
    assert tile.is_in(size) == (tile.width <= tiles.width_of(tile.level, tile.index, size))
    assert Tile(0, 0, 1).is_in(1)
    assert not Tile(0, 0, 2).is_in(1)


# What they are made of.


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 511, 65_535, 65_536, 65_537, 70_000])
def test_the_root_and_every_proof_follow_from_the_tiles(size: int) -> None:
    extension = Frontier(0).extend(LEAVES[:size])
    nodes = {(level, index): value for level, index, value in extension.nodes}

    def from_tiles(positions: list[merkle.Position]) -> dict[merkle.Position, bytes]:
        found = {}
        for position in positions:
            tile = tiles.tile_of(position, size)
            assert tile.is_in(size)
            found[position] = tiles.node_of(position, [nodes[one] for one in tile.nodes()])
        return found

    assert from_tiles(merkle.frontier_nodes(size)) == {one: nodes[one] for one in merkle.frontier_nodes(size)}
    for index in {0, size // 2, size - 1}:
        needed = merkle.inclusion_nodes(index, size)
        assert from_tiles(needed) == {one: nodes[one] for one in needed}
    edge = [tiles.frontier_of([nodes[one] for one in tile.nodes()]) for tile in tiles.edge(size)]
    assert tuple(root for piece in edge for root in piece) == extension.frontier.hashes


def test_a_subtree_that_is_not_complete_has_no_tile() -> None:
    with pytest.raises(InputError, match="no complete subtree"):
        tiles.tile_of((1, 1), 3)


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=WIDTH))
def test_a_bundle_gives_back_its_entries(entries: list[bytes]) -> None:
    tile = Tile(ENTRIES, 0, len(entries))
    assert tiles.split_entries(tile, tiles.join_entries(entries)) == entries


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x00\x01a\x00\x01", id="cut off within an entry"),
        pytest.param(b"\x00\x01a\x00", id="cut off within a length"),
        pytest.param(b"\x00\x01a", id="one too few"),
        pytest.param(b"\x00\x01a\x00\x01b\x00\x01c", id="one too many"),
        pytest.param(b"\x00\x02a\x00\x01b", id="a wrong length"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_a_bundle_that_is_not_as_wide_as_it_says_is_refused(data: bytes) -> None:
    with pytest.raises(AuditError, match=r"tile/entries/000\.p/2 is no bundle of 2 entries"):
        tiles.split_entries(Tile(ENTRIES, 0, 2), data)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_tile_of_another_width_is_refused(count: int) -> None:
    with pytest.raises(AuditError, match=r"tile/0/000\.p/2 has"):
        tiles.split_hashes(Tile(0, 0, 2), bytes(32 * count))


def test_a_full_tile_is_cut_down_to_the_partial_one_that_it_was() -> None:
    assert tiles.narrow(Tile(0, 0, 3), b"".join(LEAVES[:WIDTH])) == b"".join(LEAVES[:3])
    entries = [b"%d" % number for number in range(WIDTH)]
    assert tiles.narrow(Tile(ENTRIES, 0, 3), tiles.join_entries(entries)) == tiles.join_entries(entries[:3])
    for tile in (Tile(0, 0, 3), Tile(ENTRIES, 0, 3)):
        with pytest.raises(AuditError):
            tiles.narrow(tile, bytes(7))

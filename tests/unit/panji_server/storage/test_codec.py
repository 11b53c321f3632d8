"""How values stand in columns."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from panji.core.merkle import HASH_SIZE, Frontier, leaf_hash
from panji_server.storage.codec import from_micros, join_hashes, node_key, split_hashes, to_micros

INSTANTS = st.datetimes(min_value=datetime(1, 1, 2), timezones=st.just(UTC))  # noqa: DTZ001 - the strategy adds the zone
HASHES = st.lists(st.binary(min_size=HASH_SIZE, max_size=HASH_SIZE))


@given(INSTANTS)
def test_an_instant_comes_back_to_the_microsecond(instant: datetime) -> None:
    assert from_micros(to_micros(instant)) == instant


@given(st.lists(INSTANTS))
def test_instants_are_ordered_as_their_numbers_are(instants: list[datetime]) -> None:
    assert sorted(instants, key=to_micros) == sorted(instants)


def test_the_numbers_count_from_1970() -> None:
    assert to_micros(datetime(1970, 1, 1, 0, 0, 1, 2, tzinfo=UTC)) == 1_000_002
    assert to_micros(datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)) == -1


@given(HASHES)
def test_hashes_come_back(hashes: list[bytes]) -> None:
    assert split_hashes(join_hashes(hashes)) == tuple(hashes)


def test_a_hash_that_was_cut_off_stays_short_so_that_the_tree_refuses_it() -> None:
    assert split_hashes(bytes(HASH_SIZE + 1)) == (bytes(HASH_SIZE), bytes(1))


def test_nodes_are_numbered_in_the_order_in_which_leaves_complete_them() -> None:
    """Every insert is an append: leaf by leaf, the keys are 0, 1, 2, … without a gap."""
    frontier, keys = Frontier(0), []
    for number in range(200):
        extension = frontier.extend([leaf_hash(str(number).encode())])
        frontier = extension.frontier
        keys += [node_key(level, index) for level, index, _ in extension.nodes]
    assert keys == list(range(len(keys)))


def test_the_numbers_do_not_depend_on_how_leaves_were_grouped() -> None:
    leaves = [leaf_hash(str(number).encode()) for number in range(200)]
    nodes = Frontier(0).extend(leaves[:77]).nodes + Frontier(0).extend(leaves[:77]).frontier.extend(leaves[77:]).nodes
    assert sorted(node_key(level, index) for level, index, _ in nodes) == list(range(len(nodes)))

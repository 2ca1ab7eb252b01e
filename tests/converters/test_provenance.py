"""What a .ptf records of a conversion, and the way back that needs no rule: byte for byte, or not at all."""

from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from nets import cnn, deck
from sources import read, same

import ptformat
import ptformat.torch
from ptformat.columns import Header
from ptformat.converters import ConversionError, Plan, convert, edit, plan
from ptformat.converters.content import Content, MemorySource, Saving, whole
from ptformat.converters.files import open_source, write
from ptformat.tree import Alias, TensorInfo

NETS = {**{name: pair.make_torch for name, pair in cnn.PAIRS.items()}, "net": deck.net, "shared": deck.shared_net}
NOT_UNDONE = "is not undone: its tensors are no longer those it was converted to"


def saved(module: torch.nn.Module, folder: Path, **options: Any) -> Path:
    ptformat.torch.save_model(module, folder / "torch.ptf", **options)
    return folder / "torch.ptf"


def to(goal: str, source: Path, target: Path, **options: Any) -> Plan:
    return convert(source, target, to=goal, durable=False, **options)


@pytest.mark.parametrize("name", NETS)
def test_there_and_back_are_equal_bytes(name: str, tmp_path: Path) -> None:
    origin = saved(NETS[name](), tmp_path, metadata={"run": 7, "tags": ["a", None]})
    to("linen", origin, tmp_path / "linen.ptf", strict=True)
    back = to("torch", tmp_path / "linen.ptf", tmp_path / "back.ptf", strict=True)
    assert (tmp_path / "back.ptf").read_bytes() == origin.read_bytes()
    assert back.undone
    assert back.notes == [f"undoes the conversion recorded in {tmp_path / 'linen.ptf'}"]
    assert back.guesses == []


@pytest.mark.parametrize("name", NETS)
def test_there_and_back_compressed_have_one_digest(name: str, tmp_path: Path) -> None:
    origin = saved(NETS[name](), tmp_path)
    to("linen", origin, tmp_path / "linen.ptf", codec="zstd")
    to("torch", tmp_path / "linen.ptf", tmp_path / "back.ptf", codec="zstd")
    with ptformat.open(origin) as old, ptformat.open(tmp_path / "back.ptf") as new:
        assert new.digest() == old.digest()
        assert new.entries == old.entries


@pytest.mark.parametrize("style", ["nested", "linen-list"])
def test_names_that_a_style_could_not_give_back(style: str, tmp_path: Path) -> None:
    module = torch.nn.ModuleDict(
        {
            "conv_1": torch.nn.Linear(3, 2),
            "layers_0": torch.nn.Linear(2, 2),
            "net": torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.Sequential(torch.nn.LayerNorm(4))),
            "h": torch.nn.ModuleList([torch.nn.Linear(2, 2) for _ in range(12)]),
        }
    )
    origin = saved(module, tmp_path)
    to("linen", origin, tmp_path / "linen.ptf", style=style, renames=[("conv_1", "first.one")])
    to("torch", tmp_path / "linen.ptf", tmp_path / "back.ptf")
    assert (tmp_path / "back.ptf").read_bytes() == origin.read_bytes()


def test_linen_there_and_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    tree = {
        "params": {"c_1": {"kernel": rng.random((3, 4, 2)), "bias": rng.random(2)}, "n": {"scale": rng.random(2)}},
        "batch_stats": {"n": {"mean": rng.random(2), "var": rng.random(2)}},
    }
    ptformat.save_file(tree, tmp_path / "linen.ptf", convention="flax.linen", metadata={"epoch": 3})
    to("torch", tmp_path / "linen.ptf", tmp_path / "torch.ptf", kinds=[("c_1", "conv")])
    assert read(tmp_path / "torch.ptf")["n.num_batches_tracked"] == 0
    back = to("linen", tmp_path / "torch.ptf", tmp_path / "back.ptf")
    assert (tmp_path / "back.ptf").read_bytes() == (tmp_path / "linen.ptf").read_bytes()
    assert back.dropped == ["n.num_batches_tracked: the conversion that is undone made it"]


def test_the_count_of_batches_comes_back(tmp_path: Path) -> None:
    origin = saved(cnn.PAIRS["conv1d"].make_torch(), tmp_path)
    assert read(origin)["1.num_batches_tracked"] == 7
    to("linen", origin, tmp_path / "linen.ptf")
    to("torch", tmp_path / "linen.ptf", tmp_path / "back.ptf")
    assert read(tmp_path / "back.ptf")["1.num_batches_tracked"] == 7
    to("linen", origin, tmp_path / "linen.msgpack")
    to("torch", tmp_path / "linen.msgpack", tmp_path / "bare.safetensors")
    assert read(tmp_path / "bare.safetensors")["1.num_batches_tracked"] == 0


def test_what_was_dropped_stays_dropped(tmp_path: Path) -> None:
    origin = saved(deck.net(), tmp_path)
    to("linen", origin, tmp_path / "linen.ptf", drop=["0.*"])
    to("torch", tmp_path / "linen.ptf", tmp_path / "back.ptf")
    assert {*read(tmp_path / "back.ptf")} == {"2.weight", "2.bias"}


def edited(origin: Path, target: Path, change: Any) -> None:
    """The file with its arrays changed; what it says of itself stays."""
    opened = open_source(origin)
    arrays = change(read(origin))
    entries = [
        TensorInfo(entry.path, arrays[entry.path].dtype.name, arrays[entry.path].shape, entry.axes, entry.role)
        if isinstance(entry, TensorInfo)
        else entry
        for entry in opened.entries
        if not isinstance(entry, TensorInfo) or entry.path in arrays
    ]
    known = {entry.path for entry in entries}
    entries += [TensorInfo(path, array.dtype.name, array.shape) for path, array in arrays.items() if path not in known]
    write(
        Content(entries, opened.header, lambda entry: iter([arrays[entry.path].tobytes()])),
        target,
        Saving(durable=False),
    )


def test_other_values_and_types_are_still_undone(tmp_path: Path) -> None:
    origin = saved(deck.shared_net(), tmp_path)
    to("linen", origin, tmp_path / "linen.ptf")
    edited(
        tmp_path / "linen.ptf", tmp_path / "new.ptf", lambda held: {p: (a * 2).astype("<f2") for p, a in held.items()}
    )
    made = to("torch", tmp_path / "new.ptf", tmp_path / "back.ptf")
    assert made.undone
    before, after = read(origin), read(tmp_path / "back.ptf")
    assert [*after] == [*before]
    assert all(same(after[path], (array * 2).astype("<f2")) for path, array in before.items())
    with ptformat.open(tmp_path / "back.ptf") as file:
        assert file.aliases.keys() == {"4.weight", "4.bias"}


CHANGES = {
    "added": lambda held: {**held, "params.layers_9.bias": np.zeros(2, np.float32)},
    "missing": lambda held: {path: array for path, array in held.items() if path != "params.layers_6.bias"},
    "another shape": lambda held: {**held, "params.layers_6.bias": np.zeros(2, np.float32)},
    "other shapes": lambda held: {
        **held,
        "params.layers_6.kernel": np.zeros((8, 2), np.float32),
        "params.layers_6.bias": np.zeros(2, np.float32),
    },
}


@pytest.mark.parametrize("name", ["added", "missing", "other shapes"])
def test_another_tree_falls_back_to_its_names_and_says_so(name: str, tmp_path: Path) -> None:
    origin = saved(deck.shared_net(), tmp_path)
    to("linen", origin, tmp_path / "linen.ptf")
    edited(tmp_path / "linen.ptf", tmp_path / "new.ptf", CHANGES[name])
    made = to("torch", tmp_path / "new.ptf", tmp_path / "back.ptf")
    assert not made.undone
    assert made.notes == [f"the conversion recorded in {tmp_path / 'new.ptf'} {NOT_UNDONE}"]
    assert {*read(tmp_path / "back.ptf")} >= {"0.weight", "2.weight", "6.weight"}
    assert "4.weight" not in read(tmp_path / "back.ptf")


def test_a_bias_that_is_not_its_kernels_is_an_error(tmp_path: Path) -> None:
    """Neither what was converted, nor any layer of its recorded kind."""
    to("linen", saved(deck.shared_net(), tmp_path), tmp_path / "linen.ptf")
    edited(tmp_path / "linen.ptf", tmp_path / "new.ptf", CHANGES["another shape"])
    with pytest.raises(ConversionError) as caught:
        plan(tmp_path / "new.ptf", to="torch")
    (problem,) = caught.value.problems
    assert problem.kind == "contradiction"
    assert problem.text == "layers_6: linear: recorded in the file, but it has kernel (8, 1), bias (2,)"


def test_a_value_added_is_not_lost_in_silence(tmp_path: Path) -> None:
    to("linen", saved(deck.net(), tmp_path), tmp_path / "linen.ptf")
    opened = open_source(tmp_path / "linen.ptf")
    content = whole(opened)
    write(
        Content([*content.entries, ptformat.Value("step", 3)], content.header, content.pieces),
        tmp_path / "new.ptf",
        Saving(durable=False),
    )
    with pytest.raises(ConversionError) as caught:
        plan(tmp_path / "new.ptf", to="torch")
    assert [problem.text for problem in caught.value.problems] == ["step is a value, no tensor. Try --drop 'step'"]


@pytest.mark.parametrize(
    "options",
    [{"kinds": [("*", "linear")]}, {"renames": [("layers_0", "x")]}, {"style": "linen-list"}, {"drop": ["*/bias"]}],
)
def test_a_rule_goes_before_the_record(options: Any, tmp_path: Path) -> None:
    to("linen", saved(deck.shared_net(), tmp_path), tmp_path / "linen.ptf")
    made = plan(tmp_path / "linen.ptf", to="torch", **options)
    assert not made.undone
    expected = f"the conversion recorded in {tmp_path / 'linen.ptf'} is not undone: a rule or template was given"
    assert made.notes == [expected]


def test_a_template_goes_before_the_record(tmp_path: Path) -> None:
    origin = saved(deck.net(), tmp_path)
    to("linen", origin, tmp_path / "linen.ptf")
    made = plan(tmp_path / "linen.ptf", to="torch", template=origin)
    assert not made.undone


def test_a_bare_file_has_no_record(tmp_path: Path) -> None:
    to("linen", saved(deck.shared_net(), tmp_path), tmp_path / "linen.msgpack")
    made = to("torch", tmp_path / "linen.msgpack", tmp_path / "back.ptf")
    assert not made.undone
    assert {*read(tmp_path / "back.ptf")} == {f"{n}.{name}" for n in (0, 2, 6) for name in ("weight", "bias")}


def test_four_conversions_in_a_row_do_not_pile_up(tmp_path: Path) -> None:
    sizes = []
    origin = saved(deck.shared_net(), tmp_path)
    for turn in range(2):
        to("linen", origin, tmp_path / f"linen{turn}.ptf")
        to("torch", tmp_path / f"linen{turn}.ptf", tmp_path / f"torch{turn}.ptf")
        origin = tmp_path / f"torch{turn}.ptf"
        sizes.append(origin.stat().st_size)
    assert sizes[0] == sizes[1]


# Hostile records: any map at all may stand in a file.


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recorded")
    to("linen", saved(cnn.PAIRS["conv1d"].make_torch(), folder), folder / "linen.ptf")
    return folder / "linen.ptf"


def attempt(origin: Path, provenance: dict[str, Any]) -> Plan | None:
    """Plan the way back of a file with this record, and run it; None for an error that is allowed."""
    opened = open_source(origin)
    held = Header(convention=opened.header.convention, provenance=provenance)
    target = origin.with_name("hostile.ptf")
    try:
        write(Content(opened.entries, held, whole(opened).pieces), target, Saving(durable=False))
        made = to("torch", target, origin.with_name("back.ptf"))
    except (ptformat.FormatError, ConversionError):
        return None
    tensors = read(origin.with_name("back.ptf"))
    assert len(tensors) in (8, 9)  # nothing is lost
    return made


def record_of(path: Path) -> dict[str, Any]:
    with ptformat.open(path) as file:
        return dict(file.provenance)


JUNK: list[Any] = [None, True, 0, -1, 2**53, 1.5, float("nan"), "", "x", "a\nb", b"", b"\0" * 7, b"\xff" * 64, [], [1]]
JUNK += [["a"], [[0.0]], [[None]], [[1, 0]], [[]], {}, {"a": 1}, {"0.weight": "x"}, {"1.num_batches_tracked": 2**62}]
JUNK += [
    {"1.num_batches_tracked": "7"},
    {"1.num_batches_tracked": None},
    {"0.weight": 0},
    [[0], [1, 2]],
    ["a", 1, None],
]


@pytest.mark.parametrize("key", ["origin", "tree", "source", "target", "perm", "fill", "dropped"])
def test_any_field_replaced(key: str, recorded: Path) -> None:
    record = record_of(recorded)
    assert attempt(recorded, record).undone  # type: ignore[union-attr]
    for junk in JUNK:
        made = attempt(recorded, {**record, key: junk})
        assert made is None or not made.undone or key in ("fill", "dropped"), junk
    attempt(recorded, {name: value for name, value in record.items() if name != key})


@pytest.mark.parametrize("key", ["chunk", "path", "type", "dtype", "rank", "dims", "alias", "form", "value", "module"])
def test_any_field_of_the_tree_replaced(key: str, recorded: Path) -> None:
    record = record_of(recorded)
    for junk in JUNK:
        attempt(recorded, {**record, "tree": {**record["tree"], key: junk}})


def test_perms_that_are_none(recorded: Path) -> None:
    record = record_of(recorded)
    for junk in (*JUNK, [0, 0, 0], [0.0, 1.0, 2.0], [True, False, 2], [3, 1, 0], ["0", 1, 2], [2**70], [0, 1]):
        for place in range(len(record["perm"])):
            made = attempt(recorded, {**record, "perm": [*record["perm"][:place], junk, *record["perm"][place + 1 :]]})
            assert made is None or not made.undone or list(junk) == list(record["perm"][place])


def test_numbers_that_no_tree_bears_out(recorded: Path) -> None:
    record = record_of(recorded)
    tree = record["tree"]
    for dims in (2**40, 2**53 - 1, 2**63, 2**64 - 1):
        huge = np.full(len(tree["dims"]) // 8, dims, "<u8").tobytes()
        attempt(recorded, {**record, "tree": {**tree, "dims": huge}})
    for code in (27, 28, 255):
        attempt(recorded, {**record, "tree": {**tree, "dtype": bytes([code]) * len(tree["dtype"])}})
    for rank in (0, 9, 255):
        attempt(recorded, {**record, "tree": {**tree, "rank": bytes([rank]) * len(tree["rank"])}})


def test_a_fill_of_a_large_tensor_is_not_made(recorded: Path) -> None:
    """The record may not ask for more than a number of no axes."""
    record = record_of(recorded)
    tree = record["tree"]
    ranks, dims = list(tree["rank"]), list(np.frombuffer(tree["dims"], "<u8"))
    place = next(place for place, code in enumerate(tree["dtype"]) if code == 6)  # int64
    at = sum(ranks[:place])
    ranks[place] = 1
    dims.insert(at, 2**40)
    hostile = {**tree, "rank": bytes(ranks), "dims": np.array(dims, "<u8").tobytes()}
    made = attempt(recorded, {**record, "tree": hostile, "dropped": []})
    assert made is not None
    assert not made.undone


def test_a_record_that_leaves_a_tensor_out_is_not_followed(recorded: Path, tmp_path: Path) -> None:
    record = record_of(recorded)
    small = saved(deck.net(), tmp_path)
    to("linen", small, tmp_path / "linen.ptf")
    made = attempt(recorded, {**record, "tree": record_of(tmp_path / "linen.ptf")["tree"]})
    assert made is None or not made.undone


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=24),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None)
@given(st.dictionaries(st.sampled_from(["tree", "source", "target", "perm", "fill", "dropped"]), VALUES))
def test_random_records(recorded: Path, change: dict[str, Any]) -> None:
    attempt(recorded, {**record_of(recorded), **change})


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None)
@given(st.sampled_from(["path", "type", "dtype", "rank", "dims", "alias", "form", "value", "axes", "class"]), VALUES)
def test_random_fields_of_the_tree(recorded: Path, key: str, value: Any) -> None:
    record = record_of(recorded)
    attempt(recorded, {**record, "tree": {**record["tree"], key: value}})


def test_a_tie_that_is_another_now_is_not_undone(tmp_path: Path) -> None:
    """The record tells the source's tie; the file's own, changed since, tells another story."""
    net = torch.nn.ModuleDict({name: torch.nn.Linear(3, 3, bias=False) for name in "abc"})
    net["b"].weight = net["a"].weight
    ptformat.torch.save_model(net, tmp_path / "net.ptf")
    convert(tmp_path / "net.ptf", tmp_path / "nnx.ptf", to="nnx", durable=False)
    assert convert(tmp_path / "nnx.ptf", tmp_path / "same.ptf", to="torch", durable=False).undone
    opened = open_source(tmp_path / "nnx.ptf")
    entries = [Alias("b.kernel", "c.kernel") if entry.path == "b.kernel" else entry for entry in opened.entries]
    entries.sort(key=lambda entry: isinstance(entry, Alias))
    held = MemorySource(
        [(entry, opened.array(entry.path) if isinstance(entry, TensorInfo) else None) for entry in entries],
        opened.header,
    )
    made = plan(held, to="torch")
    assert not made.undone
    assert [(each.path, each.target) for each in made.entries if isinstance(each, Alias)] == [("b.weight", "c.weight")]


def test_a_step_that_does_not_keep_everything_leaves_no_record(tmp_path: Path) -> None:
    """Rows that were cut off do not come back: there is no way to record."""
    origin = saved(deck.net(), tmp_path)
    to("linen", origin, tmp_path / "cut.ptf", apply=[("2.weight", "truncate(1, 4)")])
    with ptformat.open(tmp_path / "cut.ptf") as file:
        assert file.provenance == {}


def test_a_shape_that_the_record_does_not_bear_out(recorded: Path) -> None:
    """What comes back of the recorded way has another shape than the recorded tree says."""
    record = record_of(recorded)
    tree = record["tree"]
    dims = np.frombuffer(tree["dims"], "<u8").copy()
    at = int(np.flatnonzero(dims > 1)[0])
    for size in (1, int(dims[at]) + 1):
        other = dims.copy()
        other[at] = size
        made = attempt(recorded, {**record, "tree": {**tree, "dims": other.tobytes()}})
        assert made is None or not made.undone


@pytest.mark.parametrize(("code", "value"), [(3, 200), (3, -129), (9, -1), (9, 256), (1, 0), (7, 0)])
def test_a_fill_that_its_type_does_not_have(code: int, value: int, recorded: Path) -> None:
    """int8, uint8, and types of less than a byte, of which no count is."""
    record = record_of(recorded)
    tree = record["tree"]
    place = tree["dtype"].index(6)  # int64: the count of batches
    types = tree["dtype"][:place] + bytes([code]) + tree["dtype"][place + 1 :]
    fill = dict.fromkeys(record["fill"], value)
    made = attempt(recorded, {**record, "tree": {**tree, "dtype": types}, "fill": fill, "dropped": []})
    assert made is not None
    assert not made.undone


def test_a_dropped_alias_is_not_given_back(tmp_path: Path) -> None:
    """The record may say of any entry that it was left out."""
    net = torch.nn.ModuleDict({name: torch.nn.Linear(3, 3, bias=False) for name in "ab"})
    net["b"].weight = net["a"].weight
    ptformat.torch.save_model(net, tmp_path / "net.ptf")
    convert(tmp_path / "net.ptf", tmp_path / "nnx.ptf", to="nnx", durable=False)
    opened = open_source(tmp_path / "nnx.ptf")
    opened.header.provenance["dropped"] = ["b.weight"]
    made = plan(opened, to="torch")
    assert made.undone
    assert [entry.path for entry in made.entries if isinstance(entry, (TensorInfo, Alias))] == ["a.weight"]


def test_another_type_where_more_was_done_than_permuting(tmp_path: Path) -> None:
    """Weights that were flipped, and cast since: they come back in the type that they have now."""
    net = torch.nn.Sequential(torch.nn.ConvTranspose1d(2, 3, 3))
    origin = saved(net, tmp_path)
    to("linen", origin, tmp_path / "linen.ptf")
    edit(tmp_path / "linen.ptf", tmp_path / "half.ptf", cast=[("*", "float16")], durable=False)
    opened = open_source(tmp_path / "half.ptf")
    opened.header.provenance.update(record_of(tmp_path / "linen.ptf"))
    made = plan(opened, to="torch")
    assert made.undone
    assert {step.target.dtype for step in made.steps.values()} == {"float16"}
    assert [*record_of(tmp_path / "linen.ptf")["made"]] == ["params.layers_0.kernel"]

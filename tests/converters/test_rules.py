"""Rules from a TOML file and from Python: every fault with its key, and kinds, forms and frameworks of one's own."""

import errno
import tomllib

import pytest
from sources import source

from ptformat import FormatError
from ptformat.converters import ConversionError, Rules, Stack, plan
from ptformat.converters.conventions import CONVENTIONS, KINDS
from ptformat.converters.own_tables import form_faults, kind_faults
from ptformat.converters.rules import families, load, parse_rules

EVERYTHING = """
name = "mine"
drop = ["*.mask"]
fold = ["*.spectral"]
kind = [{ modules = "*.c_attn", is = "linear:in_out" }]
rename = [{ match = 'encoder\\.(\\d+)', to = 'layers.\\1' }, { match = "model" }]
missing = [{ tensors = "*/bias", policy = "0" }, { tensors = "*/kept", policy = "keep" }]
apply = [{ tensors = "*.q.weight", operations = "scale({f}) | flip(0)" }]
cast = [{ tensors = "*", dtype = "bfloat16" }]
stack = [{ list = "a/layers" }, { list = "*/b", axis = 1, into = "b_{phase}", cycle = 2, rest = "left/{n}" }]
unstack = [{ path = "model.layers" }, { path = "experts", axis = 2 }]

[facts]
f = 0.5
n = 2

[dialect.plain]

[dialect.scaled]
apply = [{ tensors = "*.q.weight", operations = "scale(8)" }]
"""


def test_every_key():
    rules = parse_rules(tomllib.loads(EVERYTHING))
    expected = Rules(
        name="mine",
        kinds=(("*.c_attn", "linear:in_out"),),
        renames=(
            (r"encoder\.(\d+)", r"layers.\1"),
            ("model", ""),
        ),
        drop=("*.mask",),
        missing=(
            ("*/bias", "0"),
            ("*/kept", "keep"),
        ),
        apply=(("*.q.weight", "scale({f}) | flip(0)"),),
        cast=(("*", "bfloat16"),),
        fold=("*.spectral",),
        stacks=(
            Stack("a/layers"),
            Stack("*/b", 1, "b_{phase}", 2, "left/{n}"),
        ),
        unstacks=(
            ("model.layers", 0),
            ("experts", 2),
        ),
        facts={"f": 0.5, "n": 2},
        dialects={"plain": [], "scaled": [("*.q.weight", "scale(8)")]},
    )
    assert rules == expected
    assert list(rules.dialects) == ["plain", "scaled"]
    assert rules.tables is CONVENTIONS
    assert parse_rules({}) == Rules()


def test_rules_steer_as_the_options_do():
    tree = source({"model.c_attn.weight": (6, 6), "model.c_attn.bias": (6,), "model.mask": (3, 3)})
    options = {
        "kinds": [("*.c_attn", "linear:in_out")],
        "renames": [("model", "")],
        "drop": ["*.mask"],
        "apply": [("*.bias", "scale(2)")],
        "cast": [("*", "bfloat16")],
    }
    there = plan(tree, to="linen", **options)
    here = plan(tree, to="linen", rules=Rules(**options))
    assert {path: step.made for path, step in here.steps.items()} == {p: s.made for p, s in there.steps.items()}
    assert [each.target.path for each in here.steps.values()] == ["params.c_attn.kernel", "params.c_attn.bias"]
    # What a family has no use for is no mistake; what a user says is.
    assert plan(source({"a.linear.weight": (3, 2)}), to="linen", rules=Rules(**options)).steps
    with pytest.raises(ConversionError, match="unused"):
        plan(source({"a.linear.weight": (3, 2)}), to="linen", **options)
    # The user's own come first.
    made = plan(tree, to="linen", rules=Rules(drop=["*.mask"]), cast=[("*", "float16")], kinds=[("*", "linear:in_out")])
    assert made.steps["params.model.c_attn.kernel"].target.dtype == "float16"


FAULTS = {
    'nam = "x"': "nam is no key of these rules",
    "name = 3": "name is 3, expected text",
    'drop = "x"': "drop is 'x', expected a list of texts",
    "drop = [1]": "drop is [1], expected a list of texts",
    'drop = [""]': "drop is [''], expected a list of texts",
    "fold = [[]]": "fold is [[]], expected a list of texts",
    "kind = 3": "kind is 3, expected a list of tables",
    "kind = [3]": "kind[0] is 3, expected a table",
    'kind = [{ is = "linear" }]': "kind[0].modules is missing, expected text",
    'kind = [{ modules = "*" }]': "kind[0].is is missing, expected text",
    'kind = [{ modules = "", is = "linear" }]': "kind[0].modules is empty, expected text",
    'kind = [{ modules = "*", is = "linear(" }]': "kind[0].is: 'linear(' is no kind: expected KIND, KIND:FORM or",
    'kind = [{ modules = "*", is = "liner" }]': "kind[0].is: there is no kind 'liner' (known: ",
    'kind = [{ modules = "*", is = "linear:out_in" }]': "kind[0].is: linear has no form 'out_in' (known: in_out, ",
    'kind = [{ modules = "*", is = "linear", if = 1 }]': "kind[0].if is no key of these rules",
    'rename = [{ match = "(", to = "x" }]': "rename[0].match: '(' is no regular expression: ",
    'missing = [{ tensors = "*", policy = "drop" }]': "missing[0].policy: 'drop', expected keep or a number",
    'apply = [{ tensors = "*", operations = "sin(1)" }]': "apply[0].operations: 'sin(1)': 'sin(1)' is no operation",
    'cast = [{ tensors = "*", dtype = "float12" }]': "cast[0].dtype: ",
    "stack = [{ axis = 0 }]": "stack[0].list is missing, expected text",
    'stack = [{ list = "a", axis = -1 }]': "stack[0].axis is -1, expected an integer from 0 on",
    'stack = [{ list = "a", axis = true }]': "stack[0].axis is True, expected an integer",
    'stack = [{ list = "a", cycle = 0 }]': "stack[0].cycle is 0, expected an integer from 1 on",
    'stack = [{ list = "a", into = "b{x}" }]': "stack[0].into is 'b{x}', expected a path with {phase}",
    'stack = [{ list = "a", into = "{phase:9999}" }]': "stack[0].into is '{phase:9999}', expected a path with {phase}",
    'stack = [{ list = "a", into = "{phase.x}" }]': "stack[0].into is '{phase.x}', expected a path with {phase}",
    'stack = [{ list = "a", rest = "{n!r}" }]': "stack[0].rest is '{n!r}', expected a path with {n}",
    'stack = [{ list = "a", rest = "{}" }]': "stack[0].rest is '{}', expected a path with {n}",
    'stack = [{ list = "a", rest = "b{" }]': "stack[0].rest is 'b{', expected a path with {n}",
    'unstack = [{ path = "a", axis = "0" }]': "unstack[0].axis is '0', expected an integer",
    'facts = { a = "1" }': "facts.a is '1', expected a table of integers or numbers",
    "dialect = 3": "dialect is 3, expected a table of tables",
    "dialect = { a = 3 }": "dialect.a is 3, expected a table",
    "dialect = { a = { of = 3 } }": "dialect.a.of is no key of these rules",
    "dialect = { a = {}, b = { apply = [{ tensors = 'x', operations = 'truncate(0, 2)' }] } }": (
        "dialect.b.apply[0].operations: truncate cannot be undone without more being said, expected permute, "
    ),
    "dialect = { a = {}, b = { apply = [{ tensors = 'x', operations = 'permute(0, 0)' }] } }": (
        "dialect.b.apply[0].operations: permute: (0, 0) is no order of axes"
    ),
    "dialect = { a = { apply = [{ tensors = 'x', operations = 'scale(2)' }] } }": (
        "dialect.a is the first dialect, into which the others are turned, and has operations; expected none"
    ),
    "a = ": "Invalid value",
    "name = 'a'\nname = 'b'": "Cannot overwrite a value",
    # Tables.
    "kinds = { linear = {} }": "kinds.linear: there is such a kind already",
    "kinds = { mine = {} }": "kinds.mine.parameters is missing, expected a table of texts: a parameter and its axes",
    "kinds = { mine = { parameters = { w = 3 } } }": "kinds.mine.parameters.w is 3, expected a table of texts",
    "kinds = { mine = { parameters = { w = 'a -b' } } }": "kinds.mine.parameters.w: '-b' is no name of an axis",
    "kinds = { mine = { parameters = { w = 'a a' } } }": "kinds.mine.parameters.w: an axis twice in 'a a'; give them",
    "kinds = { mine = { parameters = { w = 'a' }, essential = ['v'] } }": (
        "kinds.mine.essential: there is no parameter 'v', only w"
    ),
    "kinds = { mine = { parameters = { w = 'a' }, refines = 'x' } }": "kinds.mine.refines: there is no other kind 'x'",
    "kinds = { mine = { parameters = { w = 'a' }, same = ['b'] } }": "kinds.mine.same: there is no axis 'b', only a",
    "kinds = { mine = { parameters = { w = 'a' }, usual = { b = 1 } } }": (
        "kinds.mine.usual: there is no axis 'b', only a"
    ),
    "kinds = { mine = { parameters = { w = 'a' }, usual = { a = 1.5 } } }": (
        "kinds.mine.usual.a is 1.5, expected a table of texts or integers"
    ),
    "kinds = { 'a b' = { parameters = { w = 'a' } } }": "kinds.a b.name: 'a b' is no name",
    "conventions = { torch = {} }": "conventions.torch.name: there is such a convention already",
    "conventions = { mine = { name = 'torch' } }": "conventions.mine.name: 'torch' is what files of torch record",
    "conventions = { mine = { like = 'keras' } }": (
        "conventions.mine.like: there is no convention 'keras' before it (known: torch, linen, nnx)"
    ),
    "conventions = { mine = { separator = ':' } }": "conventions.mine.separator is ':', expected '.' or '/'",
    "conventions = { mine = { follows = 'keras' } }": (
        "conventions.mine.follows is 'keras', expected one of torch, linen, nnx"
    ),
    "conventions = { mine = { collections = ['a', 'b'] } }": "conventions.mine.home is missing, expected one of a, b",
    "conventions = { mine = { home = 'a' } }": "conventions.mine.home: 'a' is none of the collections",
    "conventions = { mine = { axes = 3 } }": "conventions.mine.axes is no key of these rules",
    "form = [{ convention = 'torch' }]": "form[0].kind is missing, expected text",
    "form = [{ convention = 'x', kind = 'linear' }]": (
        "form[0].convention: there is no convention 'x' (known: torch, linen, nnx)"
    ),
    "form = [{ convention = 'torch', kind = 'x' }]": "form[0].kind: there is no kind 'x' (known: linear, embedding, ",
    "form = [{ convention = 'torch', kind = 'linear', name = 'own' }]": (
        "form[0].slot is missing, expected a slot for each tensor"
    ),
}


@pytest.mark.parametrize("text", FAULTS)
def test_faults(text, tmp_path):
    path = tmp_path / "a.toml"
    path.write_text(text)
    with pytest.raises(FormatError) as caught:
        load(path)
    assert caught.value.code == "FORMAT"
    assert caught.value.message.startswith(f"{path}: {FAULTS[text]}")


SLOT_FAULTS = {
    "name = 'w'": ".holds is missing, expected text",
    "name = 'w', holds = 'weight'": ".axes is missing, expected text",
    "holds = 'weight', axes = 'in out'": ".name is missing, expected text",
    "name = 'a..b', holds = 'weight', axes = 'in out'": ".name: 'a..b' is no name",
    "name = 'w', holds = 'wait', axes = 'in out'": ".holds: linear has no parameter 'wait', only weight, bias",
    "name = 'w', holds = ' ', axes = 'in out'": ".holds is '', expected parameters, each once",
    "name = 'w', holds = 'weight weight', axes = '(* out) in'": ".holds is 'weight weight', expected parameters, each",
    "name = 'w', holds = 'weight', axes = 'in owt'": (".axes: 'in owt': weight has no axis 'owt', only in, out"),
    "name = 'w', holds = 'weight', axes = 'in'": ".axes: 'in': weight has the axis 'out' too (out in)",
    "name = 'w', holds = 'weight', axes = ''": ".axes: '': weight has the axis 'out' too (out in)",
    "name = 'w', holds = 'weight', axes = '(in out) in out out'": ".axes: '(in out) in out out': 'in' may stand in two",
    "name = 'w', holds = 'weight', axes = '(in in out)'": ".axes: '(in in out)': 'in' may stand in two items",
    "name = 'w', holds = 'weight', axes = '(in out'": ".axes: '(in out' is no pattern of names, names in parentheses",
    "name = 'w', holds = 'weight', axes = 'in out ()'": ".axes: 'in out ()' is no pattern",
    "name = 'w', holds = 'weight', axes = 'in out *1'": ".axes: '*1' has as many axes as a weight's slot, which",
    "name = 'w', holds = 'weight', axes = '(* out) in'": ".axes: '(* out) in' has a '*' for several parameters, but",
    "name = 'w', holds = 'weight bias', axes = 'out in'": ".axes: 'out in' has no '*', where its 2 parameters lie",
    "name = 'w', holds = 'weight bias', axes = '(* out) (* in)'": ".axes: '(* out) (* in)' has several '*', where",
    "name = 'w', holds = 'weight bias', axes = '(* out) in'": ".axes: '(* out) in': bias has no axis 'in' (out)",
    "name = 'w', holds = 'weight', axes = 'in|inn out'": ".axes: 'in|inn out': weight has no axis 'inn', only in, out",
    "name = 'w', holds = 'weight', axes = 'in out', flip = ['x']": ".flip: 'x' is none of the axes 'in out'",
    "name = 'w', holds = 'weight', axes = 'in out', role = 'state'": ".role is 'state', expected parameter or buffer",
    "name = 'w', holds = 'weight', axes = 'in out', collection = 'params'": ".collection is 'params', expected none",
    "name = 'w', holds = 'weight', axes = 'in out', fill = 0": ".fill: a slot that is filled has both a number from",
    "name = 'w', holds = 'weight', axes = 'in out', scale = ['a']": ".scale is ['a'], expected the names of two facts",
    "name = 'w', holds = 'weight', axes = 'in out', of = 1": ".of is no key of these rules",
}


@pytest.mark.parametrize("text", SLOT_FAULTS)
def test_faults_of_slots(text):
    document = f"[[form]]\nconvention = 'torch'\nkind = 'linear'\nname = 'own'\nslot = [{{ {text} }}]"
    with pytest.raises(ValueError, match=r"form\[0\]") as caught:
        parse_rules(tomllib.loads(document))
    assert str(caught.value).startswith(f"form[0].slot[0]{SLOT_FAULTS[text]}")


FORM_FAULTS = {
    "slot = [{ name = 'bias', holds = 'bias', axes = 'out' }]": "slot: none holds weight, essential to linear",
    "slot = [{ name = 'w', holds = 'weight', axes = 'out in' }, { name = 'w', holds = 'bias', axes = 'out' }]": (
        "slot[1].name: 'w' is there twice"
    ),
    "slot = [{ name = 'v', holds = 'weight', axes = 'out in' }, { name = 'w', holds = 'weight', axes = 'out in' }]": (
        "slot: 2 slots hold weight; where their sum is meant, write '+weight' in all but one"
    ),
    "slot = [{ name = 'w', holds = '+weight', axes = 'out in' }]": "slot: '+weight' adds to what no slot holds",
    "slot = [{ name = 'w', holds = 'weight', axes = 'out in' }]\nrefine = { x = 'a b' }": (
        "refine.x: linear has no axis 'x', only in, out"
    ),
    "slot = [{ name = 'w', holds = 'weight', axes = 'out in' }]\nrefine = { out = 'a' }": (
        "refine.out is 'a', expected two new names or more"
    ),
    "slot = [{ name = 'w', holds = 'weight', axes = 'a b in' }]\nrefine = { out = 'a c' }": (
        "slot[0].axes: 'a b in': weight has no axis 'b', only a, c, in"
    ),
    "slot = [{ name = 'w', holds = 'weight', axes = 'out in' }]\nrefine = { out = 'a c' }": (
        "slot[0].axes: 'out in': weight has no axis 'out', only a, c, in"
    ),
    "slot = [{ name = 'w', holds = 'weight', axes = 'out in' }]\nzero = ['weight']": (
        "zero: 'weight' is no parameter of linear without a slot"
    ),
    "slot = [{ name = 'w', holds = 'weight', axes = 'out in' }]\nwhen = { a = [] }": (
        "when.a is [], expected a table of truths or integers or numbers or texts"
    ),
}


@pytest.mark.parametrize("text", FORM_FAULTS)
def test_faults_of_forms(text):
    document = f"[[form]]\nconvention = 'torch'\nkind = 'linear'\nname = 'own'\n{text}"
    with pytest.raises(ValueError, match=r"form\[0\]") as caught:
        parse_rules(tomllib.loads(document))
    assert str(caught.value).startswith(f"form[0].{FORM_FAULTS[text]}")


def test_a_form_that_is_there_already():
    form = (
        "[[form]]\nconvention = 'torch'\nkind = 'linear'\nslot = [{ name = 'w', holds = 'weight', axes = 'in out' }]\n"
    )
    for text in (
        form,
        form.replace("kind", "name = 'in_out'\nkind", 1),
        2 * form.replace("kind", "name = 'x'\nkind", 1),
    ):
        with pytest.raises(ValueError, match=r"form\[.\]\.name: torch has linear in .* already, expected another name"):
            parse_rules(tomllib.loads(text))


def test_the_librarys_own_tables_have_no_faults():
    for table in CONVENTIONS.values():
        for kind, forms in table.forms.items():
            assert [fault for form in forms for fault in form_faults(form, KINDS[kind], table)] == []
    assert [fault for kind in KINDS.values() for fault in kind_faults(kind, KINDS)] == []


def test_files(tmp_path, monkeypatch):
    assert families() == ["bert", "gemma", "gpt2", "llama", "t5"]
    assert [load(name).name for name in families()] == families()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gpt2").mkdir()  # such as a directory of Hugging Face's: no file of rules
    assert load("gpt2").kinds[0] == ("*.c_attn", "linear:in_out")
    (tmp_path / "llama").write_text("name = 'own'")
    assert load("llama").name == "own"
    with pytest.raises(FileNotFoundError) as missing:
        load("nothing")
    assert missing.value.errno == errno.ENOENT
    assert "no such file, and no family of that name (bert, gemma, gpt2, llama, t5): 'nothing'" in str(missing.value)
    for content, text in (
        (b"#" * ((1 << 20) + 1), "more than 1048576 bytes of rules"),
        (b"\n[" + b"a." * 100_000 + b"a]", "a line of more than 16384 bytes"),
        (b"name = '\xff'", "no UTF-8 at byte 8"),
        (b"a = " + b"[" * 10_000, "nested too deeply"),
    ):
        (tmp_path / "a.toml").write_bytes(content)
        with pytest.raises(FormatError) as caught:
            load(tmp_path / "a.toml")
        assert caught.value.message == f"{tmp_path / 'a.toml'}: {text}"
    (tmp_path / "a.toml").write_bytes((b"#" * ((1 << 14) - 1) + b"\n") * (1 << 6))
    assert load(tmp_path / "a.toml") == Rules()

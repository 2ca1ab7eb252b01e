"""Files of torch.save and NumPy without torch: what torch 2.13 wrote, by these lines, is embedded.

w = torch.arange(6.0).reshape(2, 3)
eight = torch.tensor([0.5, 2.0]).to(torch.float8_e4m3fn)
model = {"a.weight": w, "b.weight": w.T, "c.bias": torch.tensor([1.5, -2.0]).bfloat16(), "d.scale": eight}
tree = {"model": model, "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}}, "epoch": 3}
torch.save(tree, path, _use_new_zipfile_serialization=zipped)
base64.b85encode(zlib.compress(path.read_bytes(), 9))
"""

import base64
import sys
import zlib
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

import ptformat
from ptformat.converters import convert, copy
from ptformat.converters.files import open_source
from ptformat.tree import Alias, Value

EMBEDDED = {
    "zip": (
        "c-p0wy>Ht_7{*VeMA`I5<HU)bx=lZlHgcWNqCP0OK<b1kIFv&j1px#Dg+NnhlPD$XB~J-#K!Ab32E3)2i=se>_CIJxj|Dmf=-4Ij"
        "(00n2v3I1TkaTP%^+BhD$a~)B$Gi7EYE9?U2#t-QV{HmuM8s}yFE<ThNS$vTO`SpO$+pY&0Ojf#DrmV)>_DmqT&~XI8PX$cZ&?I*"
        "lenH~NsTVC9basCc%y4O%?813-}M>~3nHX*xq6mrd^*$E!jK6iqUN{;xgTB>L8zzboIGUfJRQwW7shmf!1z5K>735*gQ)X*Y9A&J"
        "Ow)B7Y!cgT`{LJL6MMM%rEL-sCKqckMPRxH?*x<^1Ilw2g|IS~U}dc!><kOb>)bw^*HbL|g#(MJX9--a!KJ#u7^Dr`@L?|0_Mz2)"
        "T2_YK^8vREmuX;*z`FtO9xUjoJ$Nq+`aXdxHTWP{gr?-1hJ)e55$jeI;iFf!Qh)8l2W_(5!Ofxj$ANnRu7>W{`tF}F_fJFj>wWS~"
        "23~F8QmeSx79mG~-u$dvAEyD_4zXMI4)$QF2RDKp_lZF;-0Xp*qaG~R)4?^|f&5@C1M4El)H+3=K&=-SL(3w8QVq(!?+2l9$2Bcb"
        "biOOC>DjTv&EIzJa|p4%c4CUoqNOlJrA^ms8Km(Ldp_NAO}&0RQ(xa?=JxB0zaBGC)=zeuL!bBE`YYWq9DA$X!fm3d%9|P{no?o_"
        "tB>Gc`lN_E6<`{vA;88q!7fW`P5t73`VN|76XIaTuy^a|GD~UURE7z3=hdmOoY&M_X9EbM?yl0W+w?>GF6}?wW<+yO{{C*B-k2Xj"
        "v>YLlHFfE2hz?iLA@j=KTR&pyn;zkHH{w;$)YUUC|9U=n((m!ze@5^B1j<C*i<+83>uk+fgo9_#e;&<0Imn=4p`0~;iXwA=_QTeL"
        "(fkXj+%KTu0etM)w1RdFc1kzwrl!ho4<qL*m8w#x6jmxLE7fvIRtjZVQOeb-QY}^T3cFS*m5Pk=_pfq)<S0ijpiD8?A!qc!nL0)u"
        "dk-e1(bHo#Ci{s)uRWiV5u)Wk7mF~%qm#~@WRPh6PRD{g9RwMk8%b@n(k5csOKB9X_oOgdHgVxEF`=9kMl(JxoXtdqg`_Z==yBoG"
        "n6Q`>MssvBCj4_CJYjpHd9x5x)&z7~Mz86DaHBu<3V(Ab6B8rm!ttdLj#S6~2cU1p!{6b1DI<g$F_<6D{SS=ZDZu"
    ),
    "legacy": (
        "c-n=M*>2N76o$QIX$M-$PFc&Iu$b5mX>!#Fq27$xjF5bTEXSV4Mvk51nG}I!DL0KM&%gzjJVsxKM?m6&89NCTvcyQX&Ww-G|NUpq"
        "RQZac-`{qBZGHIhdQ+P!FMg{0oq^P_HzY|KrwL2EBy#piO2Z@unJ3t5{7V!v77>TUe(1)ae6bNfWS_>wq2XsjLCv7ju&ex#21&}G"
        "iWOVsyD(-@!xg(CY9#Rx>bNqQEHp*_DDg=Iat2DnUg3LJ`$)oJz(Dm_l6ryWOjsCE<fLRU2_xTOB&JE~>>G$nHtf34<eBb}K(+V<"
        "?M8{q-WG=lYW6zM>9vjRuF>1p+h)f!pq}G-;|Z+b+DitjZ?J?Ftj+*o70WX?ap>_*M8spf5fr^jeUcLYdFU|&Cz}?mF<7_YRL(qD"
        "FmD7LDX0delBa`0>Wq+5u`+|RSQd)s4g*o~JcA1sT(oNfOdEtQg-b=fxvgipFTJyLws}lOZ}obnX>{Q-mr=OPmE6$*T*dMMTq`85"
        "Gq_>FR^BvUqn;ZPxcQ$xn+R_Gh0x}`M(<*A{r-~W_P;E8s||PNEO+ND_XNxRf~7HcwI@t<9nv0|dohA0g9jEooY<?pTry_ih!0o_"
        "k1}{%%olSR0WE_kSjwQ4PZnil40=iL^_J1nP2B*4gUB4j<RHyv0nldf)PfGBG%rlXi5I{&R>gR}7vot{M=o=zlwE^bHUbr*$<ku="
        "`^r3OEu*6y>8K_hU(+3tDzbUZpYQ!YJYxHY"
    ),
}
FORMS = pytest.mark.parametrize("form", EMBEDDED)
WEIGHT = [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]


def made(form: str, path: Path) -> Path:
    path.write_bytes(zlib.decompress(base64.b85decode(EMBEDDED[form])))
    return path


def check(path: Path) -> None:
    source = open_source(path)
    entries = {entry.path: entry for entry in source.entries}
    assert source.array("model.a.weight").tolist() == WEIGHT
    assert entries["model.b.weight"] == Alias("model.b.weight", "model.a.weight", (1, 0))
    bias, scale = source.array("model.c.bias"), source.array("model.d.scale")
    assert (bias.dtype, bias.tolist()) == (np.dtype(ml_dtypes.bfloat16), [1.5, -2.0])
    assert (scale.dtype, scale.tolist()) == (np.dtype(ml_dtypes.float8_e4m3fn), [0.5, 2.0])
    assert source.array("optimizer.state.0.step").tolist() == 3
    assert entries["epoch"] == Value("epoch", 3)
    source.close()


@FORMS
def test_read_and_written_without_torch(form: str, tmp_path: Path) -> None:
    check(made(form, tmp_path / "x"))
    copy(tmp_path / "x", tmp_path / "y.pt")
    check(tmp_path / "y.pt")
    copy(tmp_path / "y.pt", tmp_path / "y.ptf")
    copy(tmp_path / "y.ptf", tmp_path / "z.pt")
    assert (tmp_path / "z.pt").read_bytes() == (tmp_path / "y.pt").read_bytes()
    tree = ptformat.load_tree(tmp_path / "y.ptf")
    assert tree["optimizer"]["state"][0]["step"] == 3
    assert "torch" not in sys.modules


@FORMS
def test_cut_anywhere(form: str, tmp_path: Path) -> None:
    data = made(form, tmp_path / "x").read_bytes()
    for length in range(2, len(data)):
        (tmp_path / "x").write_bytes(data[:length])
        with pytest.raises(ptformat.FormatError):
            open_source(tmp_path / "x")


def test_npz_to_linen_and_back(tmp_path: Path) -> None:
    weight = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.savez(tmp_path / "x.npz", **{"fc.weight": weight, "fc.bias": np.ones(2, np.float32)})
    convert(tmp_path / "x.npz", tmp_path / "y.npz", to="linen")
    with np.load(tmp_path / "y.npz") as found:
        assert {key: value.tolist() for key, value in found.items()} == {
            "params.fc.kernel": weight.T.tolist(),
            "params.fc.bias": [1, 1],
        }
    convert(tmp_path / "y.npz", tmp_path / "z.pt", to="torch")
    assert open_source(tmp_path / "z.pt").array("fc.weight").tolist() == weight.tolist()

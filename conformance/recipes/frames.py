"""Frozen zstd frames with compressed blocks, and what they hold: those that libzstd makes.

An entropy coder has no place in a recipe, so these bytes were made once and stay as they are: by zstd 1.5.7 through
python-zstandard 0.25.0, without a checksum, from the content beside them, with the level and parameters of their
comments. Each was then taken apart by a decoder that counts what it meets, which is what the comments say.

In the comments LL, OF and ML are literal lengths, offsets and match lengths; repeats are the offset values 1 to 3, with
a z where the sequence has no literals.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple


class Frame(NamedTuple):
    """A frame.

    Attributes:
        content: What it decodes to.
        hex: Its bytes.
    """

    content: bytes
    hex: str

    @property
    def stored(self) -> bytes:
        """Its bytes."""
        return bytes.fromhex(self.hex)


def numbers(seed: int) -> Iterator[int]:
    """Numbers of 31 bits that look random: a linear congruential generator."""
    state = seed
    while True:
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        yield state >> 33


def words(size: int, seed: int = 1, count: int = 60) -> bytes:
    """Words of lower case letters, of `count` different ones."""
    draw = numbers(seed)
    known = [bytes(97 + next(draw) % 26 for _ in range(2 + next(draw) % 7)) for _ in range(count)]
    made = b""
    while len(made) < size:
        made += known[next(draw) % count] + b" "
    return made[:size]


def skewed(size: int, symbols: int, seed: int = 1, first: int = 0) -> bytes:
    """Bytes from `first` on, each half as frequent as the one before it."""
    draw = numbers(seed)
    return bytes(first + symbols - 1 - (next(draw) % 2 ** (symbols - 1)).bit_length() for _ in range(size))


def counted(size: int) -> bytes:
    """The u32 0, 3, 6 and so on."""
    return b"".join(n.to_bytes(4, "little") for n in range(0, 3 * size // 4, 3))


def mixed(size: int, seed: int) -> bytes:
    """Words of seven seeds in turn, 17 bytes each, and a counter behind each."""
    return b"".join(words(17, i % 7 + seed) + bytes([i % 251]) for i in range(size // 18))


FRAMES = {
    "one-stream": Frame(
        # zstd 1.5.7, level 12; blocks: 1 compressed; literals: Huffman 1 stream (10 bits); weights: direct; 2 bits, 3
        # symbols; no sequences.
        skewed(60, 3, 2),
        "28b52ffd203c8d0000c2430381214fe5ab5bc1f4b3cd7d762d00",
    ),
    "weights-odd": Frame(
        # zstd 1.5.7, level 12; blocks: 1 compressed; literals: Huffman 1 stream (10 bits); weights: direct, odd; 1
        # bit, 2 symbols; LL predefined; OF predefined; ML predefined; 1 sequence, count in 1 byte; offsets to 10,
        # matches to 9, literals to 51.
        skewed(60, 2, 1),
        "28b52ffd203c9500003243028010b3f3ad1bfdda0d0100d3a24001",
    ),
    "weights-fse": Frame(
        # zstd 1.5.7, level 12; blocks: 1 compressed; literals: Huffman 1 stream (10 bits); weights: FSE log 5; 6
        # bits, 20 symbols; LL predefined; OF FSE log 5; ML FSE log 5 with runs of zeros; 16 sequences, count in 1
        # byte; offsets to 110, matches to 18, literals to 26.
        words(200, 1, 8),
        "28b52ffd20c8e50200b2430c12b0a70de26d7653cbd4d21293cc3094318f0876b7b0c8b99f90c6830a92161635df3320aaddcd29"
        "11490ca076b70c9fa91028101ceb1e10664e856b07dd303ab406110860089e42dc4103228e0d83171e2e108a98a1deb303",
    ),
    "four-streams": Frame(
        # zstd 1.5.7, level 16; blocks: 1 compressed; literals: Huffman 1 stream (10 bits); weights: FSE log 5; 5
        # bits, 20 symbols; LL FSE log 6 with runs of zeros; OF FSE log 5; ML FSE log 6; 54 sequences, count in 1
        # byte; repeats 1 1z; offsets to 485, matches to 25, literals to 19; overlaps.
        words(600, 1, 8),
        "28b52ffd605801ad040012030b11b0b901e2b9d68cc48e84096618dc984704bfb57c8e3d5d7814b82872bafc0ac435a359a082d3"
        "cf87dcac0436a8a187a6fd0c3042c59c76119404303382251186d6ca18d7003d8f63d116551950926bfa1e278edabc685601879a"
        "7651ab868c453af3db452a336b0ef31a86aa8191919526b82966ed36a8965342d8e007c553143b150632135e0fb923f5478a2fa9"
        "23a801",
    ),
    "four-streams-14-bits": Frame(
        # zstd 1.5.7, level 12; blocks: 1 compressed; literals: Huffman 4 streams (14 bits); weights: direct, odd; 1
        # bit, 2 symbols; LL predefined; OF predefined; ML predefined; 2 sequences, count in 1 byte; offsets to 812,
        # matches to 14, literals to 679; overlaps.
        skewed(1200, 2, 2),
        "28b52ffd60b0035505005a4970028010250025002500e3cb71e57cda7d517df858d2fa0feaa450fa6566f4aceab974b06d6f86a7"
        "b3d3d1d4ebd77c139945dfb92107fb78f44ade562652f02a19ca9aa0f7f367e91dd28c1a40dcd5865b24e2687e67bcb1b5c5dfc6"
        "30228d8541433827133fdd05410d469207cf1b2067fb0ca640bcf07f5319580de970be152c177e7dea384d4a0e7b9d32a73d6fd7"
        "e204c41e41c57779011fe778960b0200ee2fc5319d4a7669",
    ),
    "tree-of-11-bits": Frame(
        # zstd 1.5.7, level 16; blocks: 1 compressed; literals: Huffman 4 streams (14 bits); weights: direct, odd; 11
        # bits, 12 symbols; LL predefined; OF predefined; ML predefined; 4 sequences, count in 1 byte; repeats 1 2;
        # offsets to 4, matches to 13, literals to 1423; overlaps.
        skewed(2400, 12, 2),
        "28b52ffd606008bd13009a9394098aba98765423109700970097001d36c3df311f470e056967a8d371ac0b254f96506a334427c1"
        "334d7998cee3a10bc054ff2a56e06b623c3c691d86c99976ce4877308f82ce44962f6d7d59e43edf0e55de7858238a241cf38d24"
        "edae69da96908cfcb93095c2581f6a6bbbf5880bf6429e3a35b0cb90f3342b8036da7b6580ec0740333337e571e5f2e58a764b18"
        "cb298a40087a7ecfd39682db53287317d0e1ea0ae1040f268db151604a2242226d43a45153379a23da54f9a995ce8c30b65f94f6"
        "360329dff88facfe4d2e33dd4f123997582694cceb0bd7048fa11c1aed052e988fa8de36b6cb9c287ce491007155fb2cc4d8323a"
        "73899dad26cf0d154da18bc53ed8d0145454b8ce7bdf04d7256018a7db025773456f428f0413d8e06b0468d63f0143dd962c5da3"
        "a70792edb065b4b2d4b9ffa6cb2a79bc1e61c23744b180c4aaf17706b164518130ae20ec837e1c6cfd7c4501a6654a1bc0fed727"
        "c72ad1ab544b903fd429cf076012c278423a77059fe6506634b6e196dec30c1676ca027d034bd61cb42b538157a9137d27768a6a"
        "4a5ad249e4685c368a28d90f56486b8d5bd2f6135e819fb7b464edf798bcb7c311e2709db6d5a204458ec27dff3e3929ad46f46a"
        "d55ee33e1ae6c0a109f76f09032234b0ef05bf801509469f5e3027a9d507174fea590a480646a9646da3bb2f0629c0671df6c77e"
        "71e38bd5fd820dd510653e9a6fbc534d9428cdbfbe6976132cb7d4e883c784e9ea06e6db68f0758faf609fea384077393992bb4b"
        "9c07463bc9837a5c2686c1e6d8b875e24d1d7c15b59f5074864f15debf7692132d9615606637bd12cc1524277433f523773d2694"
        "f84a1c04008fb98706a3a9047b06362005",
    ),
    "treeless-one-stream": Frame(
        # zstd 1.5.7, level 16, window_log 10; blocks: 2 compressed; literals: Huffman 4 streams (10 bits), treeless 1
        # stream (10 bits); weights: direct, odd; 1 bit, 2 symbols; LL predefined; OF predefined; ML predefined; 2
        # sequences, count in 1 byte; offsets to 812, matches to 13, literals to 1015; matches into earlier blocks.
        skewed(1200, 2, 2),
        "28b52ffd4000b003940400763f228010200020002000da7d517df858d2fa0feaa450fa6566f4aceab974b06d6f86a7b3d3d1d4eb"
        "d77c4ade562652f02a19ca9aa0f7f367e91dd28c1a40dcd5865b24e2e8f8725c395ffc7417043518491ebcaaca1b2067fb0ca640"
        "bcf07fd34466d1776ec8c13e1e7d762d4e40ec11547c9717f0718e6739bf33ded8dae26f631891c6c2a0219c93290100f7ff22a4"
        "01fd0000334a0519580de970be152c177e7dea384d4a0e7b9d32a70d0100a397879002",
    ),
    "treeless-four-streams": Frame(
        # zstd 1.5.7, level 16, window_log 10; blocks: 3 compressed; literals: Huffman 4 streams (10 bits), treeless 4
        # streams (10 bits); weights: direct, odd; 1 bit, 2 symbols; LL predefined; OF predefined; ML predefined; 7
        # sequences, count in 1 byte; offsets to 433, matches to 20, literals to 467; overlaps.
        skewed(2400, 2, 1),
        "28b52ffd40006008ac0400163d2180101f001f001f00186e62574c4fdd9cb0455784c6717db8e0f5aa5e834ac3b2cfceb76ef46b"
        "372843e0df23e87e268c20e205e0c74d20b4481540f06d2d18d092ee4d764a20b41922bc9675f203b156a8028a07b11356b10389"
        "393b33161bdbc98d07b534024795a1771f2627b49e4cc2e19a1f49e6bd974a01e8c74649a3e8882788060300d335eb98dd999e14"
        "02a44c01940400b7bb1f1e001e001e001f594d8fbfb924a6f99dd500e0166cd0d8ad88a8726d4c1775577f1f0b8e60d966b4e127"
        "0e4ccf5a43fec6b54cd125d0144d3aad727cced90633aeac3ddaed8f6a5333a645316c9a84fe9f6a61726b220bdccaaf11985995"
        "2c87b66538c720ff70331c036caf35a7e22063acf31c4ce4ef010e21ad81de630400a9bfe1a488a8f434daf5a0652c0953d50100"
        "07960d0c000c000c00ee20b3b7e79cd6109d795b01d15ad7f9e3ac5e5937103101c33fdd2f130e3b63fa66dd0117e0810a8e90ff"
        "7ab268200100",
    ),
    "treeless-14-bits": Frame(
        # zstd 1.5.7, level 12, window_log 10; blocks: 3 compressed; literals: Huffman 4 streams (14 bits), treeless 4
        # streams (14 bits), treeless 4 streams (10 bits); weights: direct; 2 bits, 3 symbols; no sequences.
        skewed(2400, 3, 1),
        "28b52ffd400060087c06000a40280381213100310030004ce164b8f101a58940e507118df210538a30a781000fd87fd4928d02db"
        "f168e46e3c4c8377cac73aa5a5a7a362d2adf363d92462010cc0f6b6489258ef38882c18c86cdee03055056f3384df7ae2917f9e"
        "5fbab8f44f32959849888eaf1d83603703d34b255fae6987f225fb38e36e11918d943949cb9745fb501271bd8133f4c6391634ec"
        "2cfa5ab4943f9ccd8deecf2d0154fdf9d94f9b955b656d85cffc3c259e7186c921e77d478220142eeadd92660cc34455c338a364"
        "0f27a9e63ce8502602006c06000b40200332002f002f00c022b3b70159a34b76ae15959ba52948af2a6a4a53cc00dcd460eaf24b"
        "8a5e53e8918f50e917ea2e65b2b6f936ba3c42ae07793620cc43ddc7eae2d094b345d6fa57c3853c47370a77dbce8d763611e89e"
        "933d0d3c27561e895e6ecd5def62865f6c77e83797eaa8bafc181f19cf261bd033dfe132ff6bdd82e3311982b66386a59b501dbf"
        "aa6412c84c3f1a97af4d7a245abb168f83343cc709d615d9f8870a2b0c8ca9ce5b6f724035cccd608dc3e30314a7e10c62c36ceb"
        "c300950c50a2642114008d02000756131200110012002c0e9e05e3b20f1afb6e0c69a271a851460471466bda5459b5b9a7578938"
        "a9f8610e4b35b456b651db580c6980adacb0af5d28f9066b24af01980860e30065b79216c30633c03100",
    ),
    "ll-rle": Frame(
        # zstd 1.5.7, level 12; blocks: 1 compressed; literals: raw (12 bits); LL RLE; OF FSE log 5; ML RLE; 73
        # sequences, count in 1 byte; repeats 1 2; offsets to 4, matches to 3, literals to 1; overlaps.
        counted(300),
        "28b52ffd602c00dd02001405000306090c0f1215181b1e2124272a2d303336393c3f4245484b4e5154575a5d606366696c6f7275"
        "787b7e8184878a8d909396999c9fa2a5a8abaeb1b4b7babdc0c3c6c9cccfd2d5d8db000000de000000496401e00f006056",
    ),
    "ml-rle": Frame(
        # zstd 1.5.7, level 3; blocks: 1 compressed; literals: Huffman 1 stream (10 bits); weights: direct; 5 bits, 6
        # symbols; LL predefined; OF predefined; ML RLE; 8 sequences, count in 1 byte; repeats 1; offsets to 44,
        # matches to 4, literals to 16; overlaps.
        skewed(100, 8, 1),
        "28b52ffd20645d010042840585543120e54f0ad1114d8dad8a19382769814d40bde608040142014abd4b78aa90a9601a2e0b6001",
    ),
    "of-rle-ll-repeat": Frame(
        # zstd 1.5.7, level 16, window_log 10; blocks: 2 compressed; literals: Huffman 1 stream (10 bits), raw (5
        # bits); weights: FSE log 5; 7 bits, 81 symbols; LL FSE log 6 with runs of zeros, repeat; OF RLE, FSE log 5
        # with runs of zeros; ML RLE, FSE log 5 with runs of zeros; 59 sequences, count in 1 byte; repeats 1; offsets
        # to 126, matches to 17, literals to 126; matches into earlier blocks.
        mixed(1200, 2),
        "28b52ffd4000a403bc0500028b271dc0741d428874d216e18c2df5fb6f8aa2288aa230ccfcff57ddfdffff016fabd166b218ece5"
        "6ab156aa14ea642a9146a210a83f9e0e67a3c9602e960a652289401e8e0663a148200e86307be8fda8f73d5133c460e103bd6b98"
        "eb2b9eb86db69680adae4f2c8a38b2eff77abcdbe0d69c3d79f8d6a97f3b389282f4bba6b7fcfe1bd79c8e66a0bd8e60aea3ed72"
        "e7bdcb18d0ef683551dbf6fbc85bd60f32a811f0b3ff9f01e0b703107e45e0075054fb8191aa950000582038393a3b3c3d3e3f40"
        "4109d4000e8e1a",
    ),
    "ml-repeat": Frame(
        # zstd 1.5.7, level 6, window_log 10; blocks: 2 compressed; literals: Huffman 1 stream (10 bits), raw (5
        # bits); weights: direct, odd; 1 bit, 2 symbols; LL FSE log 5, repeat; OF FSE log 5, repeat; ML FSE log 5,
        # repeat; 133 sequences, count in 1 byte; repeats 1 1z; offsets to 367, matches to 18, literals to 4; matches
        # into earlier blocks; overlaps.
        skewed(1200, 2, 1),
        "28b52ffd4000b0038c060052c40280107e7535e99e9b069c3672a870ad0e4002829474371010839cab9a2c632d862c2848edaeb8"
        "00645e860da0a53cc44e5a597524d68da9200a7b86d844f844d944343ebf11482e93f5e098839a5a7e30393176f29d5b6348bf29"
        "2b18efbbb9cb1e084fd9ce341e424d8a13261ad2760876191bcdf37527f678b1d25cef87428803986bf713c0d10717ca1ac2def2"
        "d487c0760450841e23c1cdf2d3b4bcc34bab4b22c276c6c9abc62b6ad8fdffd30b385cf04360c3d40bb02aa0d4f3c607a1445e4a"
        "e8513d3c342d5fc86f1c941465010058010000000001010000010113fc59d6c79344267d7e4b69d1917e2ec70071bc3f35f3c783"
        "17edd5526f2604",
    ),
    "of-repeat": Frame(
        # zstd 1.5.7, level 16, window_log 10; blocks: 2 compressed; literals: Huffman 1 stream (10 bits), raw (5
        # bits); weights: FSE log 5; 5 bits, 20 symbols; LL FSE log 6 with runs of zeros, repeat; OF FSE log 5,
        # repeat; ML predefined, FSE log 6 with runs of zeros; 92 sequences, count in 1 byte; repeats 1 2 1z; offsets
        # to 942, matches to 33, literals to 19; matches into earlier blocks; overlaps.
        words(1200, 1, 8),
        "28b52ffd4000b0038c0600a2030c11c0b701125b849a649b48ac5b55457f9f01dae776dbccbb71f2f87542d3a0b44fed715e20de"
        "0acb010ab57965489a6950a8810753d9cf208418c5d03a117404a631022c104181855990b4b2190bc47169b4f1f06fe80204f2aa"
        "32b7270b0aae892eb2e118a593bd87b71169a4cdba74d8a48bf8d6c0ec621224acea0cf457816e0980edad4f5c0349491f7a8a78"
        "a993572e2bb6d06cc76ad12cb3e398d5074bab60d662cc7a34d8c5642c1642d4e6cdefddb8db4259640678c2586ac4812286722c"
        "7ce3a808cdfc986246aa086afd0000186379670cf0dc653a9c54c4153f760b13d54ec7b1d3455fd38d211a5b9d0f",
    ),
    "tables-of-log-7": Frame(
        # zstd 1.5.7, level 16; blocks: 1 compressed; literals: raw (12 bits); LL FSE log 7; OF FSE log 7 with runs of
        # zeros; ML RLE; 594 sequences, count in 2 bytes; repeats 1 2; offsets to 2041, matches to 3, literals to 5;
        # overlaps.
        counted(2400),
        "28b52ffd606008351400a426000306090c0f1215181b1e2124272a2d303336393c3f4245484b4e5154575a5d606366696c6f7275"
        "787b7e8184878a8d909396999c9fa2a5a8abaeb1b4b7babdc0c3c6c9cccfd2d5d8dbdee1e4e7eaedf0f3f6f9fcff020100000508"
        "0b0e1114171a1d202326292c2f3235383b3e4144474a4d505356595c5f6265686b6e7174777a7d808386898c8f9295989b9ea1a4"
        "a7aaadb0b3b6b9bcbfc2c5c8cbced1d4d7dadde0e3e6e9eceff2f5f8fbfe0102000004070a0d101316191c1f2225282b2e313437"
        "3a3d404346494c4f5255585b5e6164676a6d707376797c7f8285888b8e9194979a9da0a3a6a9acafb2b5b8bbbec1c4c7cacdd0d3"
        "d6d9dcdfe2e5e8ebeef1f4f7fafd000306090c0f1215181b1e2124272a2d303336393c3f4245484b4e5154575a5d606366696c6f"
        "7275787b7e8184878a8d909396999c9fa2a5a8abaeb1b4b7babdc0c3c6c9cccfd2d5d8dbdee1e4e7eaedf0f3f6f9fcff02040000"
        "05080b0e1114171a1d202326292c2f3235383b3e4144474a4d505356595c5f6265686b6e7174777a7d808386898c8f9295989b9e"
        "a1a4a7aaadb0b3b6b9bcbfc2c5c8cbced1d4d7dadde0e3e6e9eceff2f5f8fbfe0105000004070a0d101316191c1f2225282b2e31"
        "34373a3d404346494c4f5255585b5e6164676a6d707376797c7f8285888b8e9194979a9da0a3a6a9acafb2b5b8bbbec1c4c7cacd"
        "d0d3d6d9dcdfe2e5e8ebeef1f4f7fafd000306090c0f1215181b1e2124272a2d303336393c3f4245484b4e5154575a5d60636669"
        "6c6f7275787b7e8184878a8d909396999c9fa2a5a8abaeb1b4b7babdc0c3c6c9cccfd2d5d8dbdee1e4e7eaedf0f3f6f9fcff0207"
        "0000050700008252a412c03f07f267df00adb4fc0bffd4655a00927aea322f2b",
    ),
    "words-level-1": Frame(
        # zstd 1.5.7, level 1; blocks: 1 compressed; literals: Huffman 4 streams (10 bits); weights: FSE log 5; 6
        # bits, 27 symbols; LL predefined; OF predefined; ML predefined; 31 sequence, count in 1 byte; repeats 1;
        # offsets to 355, matches to 11, literals to 81.
        words(500),
        "28b52ffd60f400550800a6d02d159057071431bdbd66fbf5bee76d91feff3f5eff92032500280027005f2a0e770792d75fbe421d"
        "2745c6d7fdddc3bca0e4db1e2cb4ecab8993e45477be753cdb25c18a440d67d1b9d3550a882284d7149d8444b11b35c700a3ef38"
        "1858f648c3e7b0c19f5d5f7e510124156535aad1cea4c5468668228055647f683185afafcd8351938f0a5f3564aeef16b37e5468"
        "30bb5ec04296b1c1861a355ce1cab953325c3ecc1b66a58f3df4a20350511f882c5c5906e0a2f7021f0002430c278306ca86fa0a"
        "22b51955842ecd71640b34dbecacc86d0ae4b3a665d856eaa6f1691918c19445654e0d20b23c39cb0018f68761a4900ba52680ba"
        "06852563fc3a76028100a243238a0867",
    ),
    "words-level-3": Frame(
        # zstd 1.5.7, level 3; blocks: 1 compressed; literals: Huffman 1 stream (10 bits); weights: FSE log 5; 6 bits,
        # 27 symbols; LL predefined; OF FSE log 5; ML predefined; 37 sequences, count in 1 byte; repeats 1; offsets to
        # 355, matches to 10, literals to 69.
        words(500),
        "28b52ffd60f4000d0800620f291590c70d22fcbefd12092e3e682593fcffffc1f52f39ab6eb429bb1659248f92a31b7f5ad374cb"
        "25f70e20193d51a071986d406f72ae0886d97c4ad85b618fd32929148032904fd21cd39e8e8feb97d8560944f55d73d4510eac03"
        "f58a1268d31b0b5721285a0c8e6542d845d74f1e7400c23f5a402c6482a7a137eba35546aff4113f5017c7dff6ec242f063ec7fc"
        "dd377ec8f2650f54da75c5c58b7028339ef143cb262520308205e51e8211c3666860207bc00601a82524b580ba8f96c16bcf52e6"
        "6029c5ac3cac339e269a9f81a156ea697c8a80d176f965463580c83cb933802ea07ccfc348e5427502c4350a4b3a7eed4e400288"
        "4353272e2a2867",
    ),
    "words-level-9": Frame(
        # zstd 1.5.7, level 9; blocks: 1 compressed; literals: Huffman 1 stream (10 bits); weights: FSE log 5; 6 bits,
        # 27 symbols; LL predefined; OF FSE log 5; ML FSE log 5; 37 sequences, count in 1 byte; repeats 1; offsets to
        # 385, matches to 11, literals to 69.
        words(500),
        "28b52ffd60f400f5070042cf281590c70d947e797a21350a3e684d22f9ffff83eb5f72ab6eb892bb1659444d2207b25b36cc49db"
        "6aa8bd03404481c6519601b7a8b5148cb2fa1261e764af9149150a4019d8275a4ce16b6bd3dc53e44d04a2fa6e31ea4707e602f5"
        "321167d1b9852721c8540c8d293ae832ad1b35c700a47f70402c6c8286cf1d733fab4aba4a8ff8715cb6fef2d529791af85af777"
        "eff083e6973d5068d755174fe148dd78d6ef6c9725283042a29c55071028c4a8ea06023494a1c1215361a300d410a2c4e8d30811"
        "2e16d7b082c899cd59b84dfbf96419a85247f86c01e3955fe63820aac102401b50d6b9914ea1f000467396ec7fbd1230806c4d6d"
        "5c142867",
    ),
    "words-level-19": Frame(
        # zstd 1.5.7, level 19; blocks: 1 compressed; literals: Huffman 4 streams (10 bits); weights: FSE log 5; 5
        # bits, 27 symbols; LL predefined; OF FSE log 5; ML FSE log 5; 32 sequences, count in 1 byte; repeats 1;
        # offsets to 355, matches to 10, literals to 81; overlaps.
        words(500),
        "28b52ffd60f4000d080066d02c1290cf01c8608b0c36d86083feff3fb8fe2007250027002800ae5d766aeca87d9e5f76850f296e"
        "ed3ef3adb85ae31c8fdce177d7f023d1d62d1efb1a6e12773466f87c767a4b6834a86a5cc7083bda7b59c51410fa7422f6440751"
        "a6b98df686dd799eb40775244978dd16e2e788b74f192b41e0a4e887450a995fb54bb57789c98d09e1ce4c8abb592a5ae402ec2e"
        "2d19fc5e78619516e8ec24a6e5792b5ee66cabbe7aeaa5e090760685a48427b07caa61f7202830428220d701101a082d0f026e38"
        "420305d931a82ba26654e892f12aa0999df56dfacbfa5e2f7c766064e59739068832580138043a9c3392174a03e80696e45f3f01"
        "034834a2203a03",
    ),
    "words-level-22": Frame(
        # zstd 1.5.7, level 22; blocks: 1 compressed; literals: Huffman 4 streams (10 bits); weights: FSE log 5; 5
        # bits, 27 symbols; LL predefined; OF predefined; ML predefined; 15 sequences, count in 1 byte; offsets to
        # 256, matches to 100, literals to 127; overlaps.
        words(100) * 2 + words(300, 2),
        "28b52ffd60f4009d0700b692311290cf01602d880536d86003f0fffff1fa831c2a002b002c00ecce7dd2eeda659fc60e5acffd65"
        "57f890e2d25acf7c2baed638c72377f8dd55f89166ab553cd66bb89215bd8f07c49b444a3ead7be2c5ddfabdb5a9ce8b3976c7db"
        "2a64c3fb50e5e8fb03604da63a88d2e636da9b07eb9c16145788c5014ac621437194886c04b98b912afd4d298d070a59383274bd"
        "34dbad4472c53713f91158addf8785b13234adfb89e6c573a15a0a740981cacf155f17f42c2e9ac4c7aad7ced945f87acc898cfa"
        "3348d40f004bb339ea08036b732a445319e461545302e48cd414c69a19dd8d43ff05070b274e9628d68822c219",
    ),
    "words-level-minus-5": Frame(
        # zstd 1.5.7, level -5; blocks: 1 compressed; literals: raw (12 bits); LL predefined; OF predefined; ML
        # predefined; 6 sequences, count in 1 byte; repeats 1; offsets to 240, matches to 418, literals to 120;
        # overlaps.
        words(240) * 3,
        "28b52ffd60d0010509009410657871677a7873206378786e766a642072786f207071686f6920737120646c6b2063792071712078"
        "78777a63746420626c796c20757120787764796776206d7a6e6f206e65207571206f71672079737920657871677a787320677566"
        "6362206d7a6e6f207878777a637464207863706d697576207862616667666c6620706e64796367686c20626c796c207371207877"
        "647967762067666c6620776b726e64696a6e206a7875206871676d6e20626c796c20647a6f697973207862616673206b6c67206f"
        "66657171206f63636d6e71206b6c6720706e64796367686c20787764657871677a7872786f207071686f6920737120646c6b2063"
        "79207171207878777a637464757120787706009f73a30008adc48643c0f63b520c83d75b8802",
    ),
    "blocks-of-a-level-1": Frame(
        # zstd 1.5.7, level 1; blocks: 3 compressed; literals: Huffman 4 streams (10 bits), raw (5 bits); weights: FSE
        # log 5; 6 bits, 27 symbols; LL predefined; OF predefined, FSE log 5; ML predefined; 45 sequences, count in 1
        # byte; repeats 1; offsets to 700, matches to 131071, literals to 81; matches into earlier blocks; overlaps.
        (words(700) * 429)[:300000],
        "28b52ffda0e09304004c0b0076573d1590c70d22448284025a2f3ede4815e9ffffe3f52f3934003600380005f2522f9de059f466"
        "7da4ebba37ea4bbdf486ba38beeeb393bc1cf81cf355df7822cb955d5881165f6cbc0c4d31e3193fa46c028fe059f4c445495c55"
        "425c5735671d25c15a58af3c3bc955421a7c79b81a84a20cc2fde441ecd9499e01c22eaaf8c9830e40f86d8514a41dcd7c79c06d"
        "dd37feecaa74850bdc6b4060d493814733ba406be090aebb321c46f329c2be853d0e4ec9c100d6817c92e6987d3a3eae0302a1cc"
        "88516fae5dd9751b511268b1d6acbfd44bc9c0a78148c7fbf2f0c5c60fc7a928d65223ba1c156d36d045ba7eb4295a14a4207954"
        "2b2020426218753e31fdbfca50f880af774c7550c8daea25752c8305157c3307e7ed312513b80b70165e9a641a96ad2e8a422c98"
        "474e02278666d0e06ca81744d88c8ed0658e97059a959d756e93e465905ea7e0d30c0c32e5bbcc723eec0c80677fc34c2a3f2485"
        "d5ef045830a20861064c000008200100fcff3910024d000008640100dc131d0801",
    ),
    "blocks-of-a-level-19": Frame(
        # zstd 1.5.7, level 19; blocks: 3 compressed; literals: Huffman 4 streams (10 bits), raw none (5 bits);
        # weights: FSE log 5; 5 bits, 27 symbols; LL predefined; OF predefined, FSE log 5; ML predefined, FSE log 6
        # with runs of zeros; 54 sequences, count in 1 byte; repeats 1 1z; offsets to 130900, matches to 131072,
        # literals to 81; matches into earlier blocks; overlaps.
        (words(700) * 429)[:300000],
        "28b52ffda0e0930400b40a001694351290cf01c8608b0c36d86083feff3fb8fe20072d0031003000b7d1deb03bcf9376d72e3b35"
        "76d43ecf2fbbc28714b7769ff9565cad718e47eef0bb6bf89168eb168f7d0d3709ab76a9f62e31b93121dc994971374b458bdc1d"
        "8d193e9f9dde121a0daa1ad731c28ef65e563105843e9d883dd1419469029dc4b43c6fc5cb9c6dd5574fbd141cd2cea09094f004"
        "964f35ec5e479284d76d217e8e78fb94b112044e8a7e58a490f94871c740da69a5e778b6c2b8486db42c2926af6b78599b8d1629"
        "a3ca8e9b67c93c3c0dbb4b4b06bf175e58a5053a0334282042621c653e117434cca6fbffffff0641fdbf52611e289eb6820e5ac1"
        "517c633887e0e8c0142470035c8e3a429a1e044171171b0274f90a45cc2b49c01826688820db83aa41248c42ba4cbc24348bce5a"
        "9bece5a3d71f9f1918f0f21d39178868b0032807b474c048b55016006f60c9fad7950007e41a514b3f03540000000100fdff57ff"
        "b90602450000000100dd131d0001",
    ),
    "blocks-of-a-level-9": Frame(
        # zstd 1.5.7, level 9; blocks: 7 compressed; literals: Huffman 4 streams (10 bits), raw (5 bits); weights: FSE
        # log 5; 6 bits, 27 symbols; LL predefined; OF predefined, FSE log 5; ML predefined, FSE log 6 with runs of
        # zeros; 59 sequences, count in 1 byte; repeats 1; offsets to 700, matches to 130372, literals to 81; matches
        # into earlier blocks; overlaps.
        (words(700) * 429)[:300000],
        "28b52ffda0e0930400bc0a00c6133514a0550792b5faf69ae7d97ddbb6a7aa2a88aaaf012c002f002f00b07fd45df7a5ddb5c91e"
        "4f13c9d7fdea254e863125f355dfe36a912b7ce090be3b164e526ccce390e7512e01b2e71aab8d8de1ae5a8cfb590a76e02669ec"
        "28fa727a4b0169829270a1339ab477b3cc3180e0c70dd81b2c86d9f30e635bf73d6e76db924f223923804a3b13c6108b2ed08aa4"
        "246928ba6613f04be06464c84a02e086c117ab98b25f924d815286a2b44719aff0dae32c751c8c0d9b25c586f9e5344866a4c1c8"
        "a26af2f3ba2cd21dba107d4f3cb14c1371390535282042629c743e11a424157ab5ffffff6741fdbf4a980a94acad9883767014df"
        "f0e05c636a081c807ba3be210d8260057d886a70a06b2be490278411e002dfd0428301191dd403d16194d1a5f11a6816675d6dfa"
        "e76b1946a9333e5d80d196efc83920bac1044001d0f243239942fd007cc32ca9feda2460001934a29a750644000008200100fcdf"
        "032144000008770100fcdf032144000008200100fcdf032144000008670100fcdf032144000008780100fcdf03214d0000087301"
        "00dcf3391002",
    ),
    "zeros": Frame(
        # zstd 1.5.7, level 3; blocks: 2 RLE, 1 compressed; literals: raw (5 bits); LL predefined; OF predefined; ML
        # predefined; 1 sequence, count in 1 byte; repeats 1; offsets to 1, matches to 131070, literals to 2;
        # overlaps.
        bytes(300000),
        "28b52ffda0e09304005400001000000100fbff39c00202001000039f0400",
    ),
    "window-of-1-kib": Frame(
        # zstd 1.5.7, level 3, window_log 10; blocks: 3 compressed; literals: Huffman 1 stream (10 bits), treeless 1
        # stream (10 bits), raw (12 bits); weights: FSE log 5; 7 bits, 24 symbols; LL FSE log 6 with runs of zeros; OF
        # FSE log 5; ML FSE log 6/5; 343 sequences, count in 1 byte; repeats 1z; offsets to 982, matches to 23,
        # literals to 29; matches into earlier blocks; overlaps.
        words(3000, 3, 12),
        "28b52ffd4000b80ab40800c2840f15b0a539389024c94a6bbe772722bd09300c0b995c04f5eb9b21e21b049880f9023ed3d622d9"
        "aed2e52dd52bc3101c916c12c5571f1beb18d65cde6060fd72a871d38264dacf20428398741e11b08ca4122ab269a6352d287baf"
        "375e810adfa464043374f9f23315a288921668ad1f12a341289198fd190c80263f512e14324bee771999033964e6271011c29a41"
        "f27a8e55d236bf304e311856822a44356c38913830626a664e9cc45c1423965174f233b4ccd32855eb4023e8892ba1849882e590"
        "3e8083aa93e0c1009ab68a6078a8e43378ecb4845553b8039e153df40957e34c1d56ed881423018c8d836212f48b42ec9e836a70"
        "b34486d1a6a126e0618b5402affc72382be78640d709e50360d45c2c55140800f3c40a6788f83f3b43e4b7d4057c666d1060024d"
        "a2f88a888f48f6ecca3004af8f8d750ccde50d06b648b6aa741973a8511395a4b2b10620026218c2f41020a48c19490bc301d32d"
        "2d3081818ccd1910a7e75adc62b468359b3c5cc227186ff7938513c9361074f9a3f0dec1a3aa2bb402a4c6fc0e186f43db1c310b"
        "b9eed96c29cc45192a18742bd90c3d814313b39295990cc3495976c964f77b576653f6827fab7f1e548993a4144f0c3e27bbc947"
        "7a2824309594322ab67f4f88a293d4fea825a648a9b97bf99c8251084cd5ad82618430589ce9fcb042f8498b4f1c66ba8d2ae3bb"
        "4b78960807197b1f344e02188ad61923ac6ac40054444c41a7d6846a747f3508000403746e7579206f6a6d706a68207268207063"
        "786e746e6a72682066666e6668756972686e6867657466666672647368726872a89173a1fd332002429063e90111b020c6b04544"
        "92a435cde9daa673f1b92242729e1edb59c6b40dc1a7656e575746d84ca3f26dd498cc6198d5969a144450e6ac2b161e0705f895"
        "331e81fcf54e943b042505855594e69a9ee986a5d34344ee34c46f7293e8cd0e78fd94b4ce5b6cb0cb000f7155b8891e7108d919"
        "71d7db6dba108609b1700e59ade4f5434ee9073cc19a47f6fbcdc4fd15201aeba7cf33481822868a7c9ac22c62210b7aaaedfed5"
        "f9a7485f60d0790e5f794eba82ed9efd54045ae2d73536f38215488ac67852016a0a0c",
    ),
    "long-distance": Frame(
        # zstd 1.5.7, level 3, window_log 21, enable_ldm True, ldm_min_match 64; blocks: 7 RLE, 2 compressed;
        # literals: Huffman 4 streams (10 bits), raw none (5 bits); weights: FSE log 5; 7 bits, 28 symbols; LL
        # predefined; OF predefined, FSE log 5; ML predefined; 46 sequences, count in 1 byte; repeats 1; offsets to
        # 1060600, matches to 130471, literals to 81; matches into earlier blocks; overlaps.
        words(600) + bytes(1060000) + words(600),
        "28b52ffda050311000dc09005612321590a53a92b5ac85eadafebeebbae3eeee3ed77f151429002c002d00edba2fec8dcdf5789a"
        "48beee552b7102c794cc577d8f0f8a5cdf8586d4bd71e02445c63cfe781ee512a35db598f6a386d7429b84ada3e8cbe92c098405"
        "06f9143aa3097337ca1c13087e5c61b9c162983defd73f1a4e223963800afb0a0c188b6ed08aa4240916559389f7256f323244a5"
        "40d0e0e00b554cd92bc946f6546395ad1180d1af571a169c5f4e50f222ecbcb8e2d0e4c77559a40bbb10754e38a10c1371398d6d"
        "ddf7b8d9654a062c2030022230d06507a4fd98b11b9d056a90a6034115f4c16b1e03e85a51a882bc278cbe5c30c4b019b8189071"
        "07b582a89bd1085dce118c059a919d85dc26c967a765a0953a1a9f10308a5d3e99510f203a4fee19c02ba0750fc348e7423d01e6"
        "da0b4b3a7efd4e00024887461471ce020010000200100002001000020010000200100002001000020010007d000000020055f65d"
        "a05550ef0600cc5b20",
    ),
}

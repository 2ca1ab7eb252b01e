"""Frozen zstd frames with compressed blocks, made by hand: what RFC 8878 allows and libzstd does not emit.

They were coded once, sequence by sequence, taken apart by a decoder that counts what it meets, and decoded by libzstd
1.5.7. The words of the comments are those of `frames`; "-1" is the probability "less than one" of RFC 8878.
"""

from __future__ import annotations

from .frames import Frame, skewed


def copied(*steps: tuple[str | bytes, int, int], start: str = "") -> bytes:
    """What sequences make: to each its literals, the distance and the length of its match."""
    made = bytearray(start.encode())
    for literals, distance, length in steps:
        made += literals.encode() if isinstance(literals, str) else literals
        while length > 0:
            part = made[len(made) - distance :][:length]
            made += part
            length -= len(part)
    return bytes(made)


ASCII = bytes(range(33, 73))

FRAMES = {
    "literals-rle-5-bits": Frame(
        # Blocks: 1 compressed; literals: RLE (5 bits); no sequences.
        b"a" * 20,
        "28b52ffd20141d0000a16100",
    ),
    "literals-rle-12-bits": Frame(
        # Blocks: 1 compressed; literals: RLE (12 bits); no sequences.
        b"a" * 2000,
        "28b52ffd60d006250000057d6100",
    ),
    "literals-rle-20-bits": Frame(
        # Blocks: 1 compressed; literals: RLE (20 bits); no sequences.
        b"a" * 100000,
        "28b52ffda0a08601002d00000d6a186100",
    ),
    "literals-raw-12-bits": Frame(
        # Blocks: 1 compressed; literals: raw (12 bits); LL predefined; OF predefined; ML predefined; 1 sequence,
        # count in 1 byte; offsets to 5, matches to 40, literals to 5; overlaps.
        copied(("abcde", 5, 40)),
        "28b52ffd202d65000054006162636465010051162d",
    ),
    "literals-raw-20-bits": Frame(
        # Blocks: 1 compressed; literals: raw (20 bits); LL predefined; OF predefined; ML predefined; 1 sequence,
        # count in 1 byte; offsets to 5, matches to 40, literals to 5; overlaps.
        copied(("abcde", 5, 40)),
        "28b52ffd202d6d00005c00006162636465010051162d",
    ),
    "count-in-two-bytes": Frame(
        # Blocks: 1 compressed; literals: raw (5 bits); LL predefined; OF predefined; ML predefined; 1 sequence, count
        # in 2 bytes; offsets to 5, matches to 40, literals to 5; overlaps.
        copied(("abcde", 5, 40)),
        "28b52ffd202d65000028616263646580010051162d",
    ),
    "four-streams-18-bits": Frame(
        # Blocks: 1 compressed; literals: Huffman 4 streams (18 bits); weights: direct; 1 bit, 2 symbols; no
        # sequences.
        skewed(400, 2, 3, 97),
        "28b52ffd6090009503000e19001b00e1000000000000000000000000000000000000000000000000000000000000000000000000"
        "000000000000000000000000010d000d000d00c230c835402685235150a18111772d1277f9529b2a7f80ead111a26a41390d8be2"
        "33978cf8fa1bfeb0d528db86881d4c6e536c1600",
    ),
    "four-streams-14-bits-short": Frame(
        # Blocks: 1 compressed; literals: Huffman 4 streams (14 bits); weights: direct; 1 bit, 2 symbols; no
        # sequences.
        skewed(397, 2, 3, 97),
        "28b52ffd608d008d0300da18b001e100000000000000000000000000000000000000000000000000000000000000000000000000"
        "0000000000000000000000010d000d000d00c230c835402685235150a18111772d1277f9529b2a7f80ead111a26a41390d8be233"
        "978cf8fa1b1fb61a65db10b183c96d8acd0200",
    ),
    "four-streams-of-6": Frame(
        # Blocks: 1 compressed; literals: Huffman 4 streams (10 bits); weights: direct; 1 bit, 2 symbols; LL RLE; OF
        # RLE; ML RLE; 1 sequence, count in 1 byte; offsets to 6, matches to 200, literals to 6; overlaps.
        copied((skewed(6, 2, 3, 97), 6, 200)),
        "28b52ffd20ce35020066000fe1000000000000000000000000000000000000000000000000000000000000000000000000000000"
        "0000000000000000000101000100010004050601015406032bc504",
    ),
    "four-streams-of-7": Frame(
        # Blocks: 1 compressed; literals: Huffman 4 streams (10 bits); weights: direct; 1 bit, 2 symbols; LL RLE; OF
        # RLE; ML RLE; 1 sequence, count in 1 byte; offsets to 7, matches to 200, literals to 7; overlaps.
        copied((skewed(7, 2, 3, 97), 7, 200)),
        "28b52ffd20cf35020076000fe1000000000000000000000000000000000000000000000000000000000000000000000000000000"
        "0000000000000000000101000100010004050602015407032b4505",
    ),
    "four-streams-of-9": Frame(
        # Blocks: 1 compressed; literals: Huffman 4 streams (10 bits); weights: direct; 1 bit, 2 symbols; LL RLE; OF
        # RLE; ML RLE; 1 sequence, count in 1 byte; offsets to 9, matches to 200, literals to 9; overlaps.
        copied((skewed(9, 2, 3, 97), 9, 200)),
        "28b52ffd20d135020096000fe1000000000000000000000000000000000000000000000000000000000000000000000000000000"
        "00000000000000000001010001000100080e0801015409032b4506",
    ),
    "tree-of-128-symbols": Frame(
        # Blocks: 1 compressed; literals: Huffman 1 stream (10 bits); weights: direct, odd; 7 bits, 128 symbols; LL
        # RLE; OF RLE; ML RLE; 1 sequence, count in 1 byte; offsets to 128, matches to 300, literals to 128; overlaps.
        copied((bytes(7 * i % 128 for i in range(128)), 128, 300)),
        "28b52ffd60ac00ed050002882cfe1111111111111111111111111111111111111111111111111111111111111111111111111111"
        "111111111111111111111111111111111111111111111111111079f99adcb53e9141dd8c55f25c2009c19ede367fb151e5905773"
        "9d4019c982d0b7bfd161ed9459f4dd6029d186d230fcf171f5985b751e8139d98ad4b13c1001fd9c5df65ea149e18ed6327d3011"
        "c5805f779fc159e992d8b3bd5021cd8451f0dfe169f196da34fe7031d58853711c000101541a072c809441",
    ),
    "tree-of-256-symbols": Frame(
        # Blocks: 1 compressed; literals: Huffman 1 stream (10 bits); weights: FSE log 6; 8 bits, 256 symbols; LL RLE;
        # OF RLE; ML RLE; 1 sequence, count in 1 byte; offsets to 256, matches to 300, literals to 256; overlaps.
        copied((bytes(7 * i % 256 for i in range(256)), 256, 300)),
        "28b52ffd602c01a508000210420621fc017fff07f9f2ebe4ddd6cfc8c1bab3aca59e979089827b746d665f58514a433c352e2720"
        "19120b04fdf6efe8e1dad3ccc5beb7b0a9a29b948d867f78716a635c554e474039322b241d160f0801faf3ece5ded7d0c9c2bbb4"
        "ada69f98918a837c756e676059524b443d362f28211a130c05fef7f0e9e2dbd4cdc6bfb8b1aaa39c958e878079726b645d564f48"
        "413a332c251e17100902fbf4ede6dfd8d1cac3bcb5aea7a099928b847d766f68615a534c453e373029221b140d06fff8f1eae3dc"
        "d5cec7c0b9b2aba49d968f88817a736c655e575049423b342d261f18110a03fcf5eee7e0d9d2cbc4bdb6afa8a19a938c857e7770"
        "69625b544d463f38312a231c150e07000101541b082c00290301",
    ),
    "weights-fse-less-than-one": Frame(
        # Blocks: 1 compressed; literals: Huffman 1 stream (10 bits); weights: FSE log 6 with -1; 5 bits, 6 symbols;
        # no sequences.
        b"fffeffdfecfefffbeffaffededfffff" * 3,
        "28b52ffd205d1d0100d2c50709b10f00bdff308f38013fa5c185379afb4f6970e18de6fe531a5c78a3b90700",
    ),
    "tree-kept": Frame(
        # Blocks: 1 raw, 1 RLE, 5 compressed; literals: Huffman 1 stream (10 bits), raw (5 bits), RLE (5 bits),
        # treeless 1 stream (10 bits), treeless 4 streams (10 bits); weights: direct; 1 bit, 2 symbols; no sequences.
        skewed(64, 2, 3, 97) + b"0123*****hellozzzzzzzzz" + skewed(204, 2, 3, 97)[64:],
        "28b52ffd20e3fc010002c40ee1000000000000000000000000000000000000000000000000000000000000000000000000000000"
        "000000000000000000016452381205151a180100200000303132332a00002a3c00002868656c6c6f001c0000497a005400008382"
        "01210c835c030100d5000047860504000400040000d5a3036daafc03b8cb97027bd7220300",
    ),
    "tree-replaced": Frame(
        # Blocks: 1 RLE, 3 compressed; literals: Huffman 1 stream (10 bits), treeless 1 stream (10 bits); weights:
        # direct; 1 bit, 2 symbols; no sequences.
        skewed(64, 2, 3, 97) + b"cdcdccdcddcdccddcdcdcdddcddcdcdc" + b"." * 200,
        "28b52ffd602800fc010002c40ee10000000000000000000000000000000000000000000000000000000000000000000000000000"
        "00000000000000000000016452381205151a180100d4010042810de3000000000000000000000000000000000000000000000000"
        "0000000000000000000000000000000000000000000000000001352d1500340000c380006a17004306002e",
    ),
    "sequences-127": Frame(
        # Blocks: 1 raw, 1 compressed; literals: raw none (5 bits); LL RLE; OF RLE; ML RLE; 127 sequences, count in 1
        # byte; repeats 1z; offsets to 4, matches to 3, literals to 0; matches into earlier blocks; overlaps.
        copied(("abcdefgh", 4, 3), *([("", 1, 3), ("", 4, 3)] * 63)),
        "28b52ffd60850040000061626364656667683d0000007f5400000001",
    ),
    "sequences-128": Frame(
        # Blocks: 1 raw, 1 compressed; literals: raw none (5 bits); LL RLE; OF RLE; ML RLE; 128 sequences, count in 2
        # bytes; repeats 1z; offsets to 4, matches to 3, literals to 0; matches into earlier blocks; overlaps.
        copied(("abcdefgh", 4, 3), *([("", 1, 3), ("", 4, 3)] * 64)[:127]),
        "28b52ffd60880040000061626364656667684500000080805400000001",
    ),
    "sequences-32511": Frame(
        # Blocks: 1 raw, 1 compressed; literals: raw none (5 bits); LL RLE; OF RLE; ML RLE; 32511 sequence, count in 2
        # bytes; repeats 1z; offsets to 4, matches to 3, literals to 0; matches into earlier blocks; overlaps.
        copied(("abcdefgh", 4, 3), *([("", 1, 3), ("", 4, 3)] * 16255)),
        "28b52ffda0057d0100400000616263646566676845000000feff5400000001",
    ),
    "sequences-32512": Frame(
        # Blocks: 1 raw, 1 compressed; literals: raw none (5 bits); LL RLE; OF RLE; ML RLE; 32512 sequences, count in
        # 3 bytes; repeats 1z; offsets to 4, matches to 3, literals to 0; matches into earlier blocks; overlaps.
        copied(("abcdefgh", 4, 3), *([("", 1, 3), ("", 4, 3)] * 16256)[:32511]),
        "28b52ffda0087d010040000061626364656667684d000000ff00005400000001",
    ),
    "sequences-32517": Frame(
        # Blocks: 1 raw, 1 compressed; literals: raw none (5 bits); LL RLE; OF RLE; ML RLE; 32517 sequences, count in
        # 3 bytes; repeats 1z; offsets to 4, matches to 3, literals to 0; matches into earlier blocks; overlaps.
        copied(("abcdefgh", 4, 3), *([("", 1, 3), ("", 4, 3)] * 16258)),
        "28b52ffda0177d010040000061626364656667684d000000ff05005400000001",
    ),
    "literals-of-70000": Frame(
        # Blocks: 1 compressed; literals: RLE (20 bits); LL RLE; OF RLE; ML RLE; 1 sequence, count in 1 byte; offsets
        # to 70000, matches to 20, literals to 70000.
        b"x" * 70020,
        "28b52ffda0841101007500000d17117801542310117011731101",
    ),
    "repeats-at-the-start": Frame(
        # Blocks: 1 RLE, 1 compressed; literals: raw (5 bits); LL predefined; OF predefined; ML predefined; 5
        # sequences, count in 1 byte; repeats 1 2 3; offsets to 8, matches to 5, literals to 9; overlaps.
        copied(("abcdefghi", 1, 3), ("j", 4, 3), ("k", 8, 3), ("l", 8, 4), ("mnop", 1, 5)) + b"." * 200,
        "28b52ffd20eaf40000806162636465666768696a6b6c6d6e6f700500af1008ee05980b08001c014306002e",
    ),
    "repeats-without-literals": Frame(
        # Blocks: 1 RLE, 1 compressed; literals: raw (5 bits); LL predefined; OF predefined; ML predefined; 6
        # sequences, count in 1 byte; repeats 1z 2z 3z; offsets to 9, matches to 4, literals to 16; overlaps.
        copied(("abcdefghijklmnop", 9, 3), ("", 1, 3), ("", 4, 3), ("", 3, 3), ("", 2, 3), ("", 3, 4)) + b"." * 200,
        "28b52ffd20eb040100806162636465666768696a6b6c6d6e6f7006002080178017001700000004ca124306002e",
    ),
    "repeats-at-the-start-without-literals": Frame(
        # Blocks: 1 raw, 1 RLE, 1 compressed; literals: raw none (5 bits); LL predefined; OF predefined; ML
        # predefined; 3 sequences, count in 1 byte; repeats 1z 2z 3z; offsets to 8, matches to 4, literals to 0;
        # matches into earlier blocks.
        copied(("abcdefghijklmnop", 4, 3), ("", 8, 3), ("", 7, 4)) + b"." * 200,
        "28b52ffd20e28000006162636465666768696a6b6c6d6e6f705400000003006f002e000000024306002e",
    ),
    "repeats-across-blocks": Frame(
        # Blocks: 1 raw, 2 RLE, 2 compressed; literals: raw (5 bits); LL predefined; OF predefined; ML predefined; 5
        # sequences, count in 1 byte; repeats 1 3 1z; offsets to 7, matches to 5, literals to 10; matches into earlier
        # blocks; overlaps.
        copied(("abcdefghij", 7, 5), ("kl", 3, 4), ("0123456789*****X", 3, 5), ("", 7, 3), ("Y", 1, 3)) + b"." * 200,
        "28b52ffd20f9a40000606162636465666768696a6b6c0200bac0ba0a12500000303132333435363738392a00002a5c0000105859"
        "03002f2000e002574306002e",
    ),
    "repeat-of-rle": Frame(
        # Blocks: 1 RLE, 2 compressed; literals: raw (5 bits); LL RLE, repeat; OF RLE, repeat; ML RLE, repeat; 5
        # sequences, count in 1 byte; offsets to 4, matches to 5, literals to 3; matches into earlier blocks;
        # overlaps.
        bytes([42]) * 40
        + copied(("abc", 4, 5), ("def", 4, 5), ("ghi", 4, 5), ("jklm", 4, 5), ("nop", 4, 5), start="*" * 40)[40:],
        "28b52ffd20514201002a8c0000506162636465666768696a03540302027f550000306b6c6d6e6f7002fc1f",
    ),
    "repeat-of-predefined": Frame(
        # Blocks: 1 raw, 1 RLE, 3 compressed; literals: raw (5 bits); LL predefined, repeat; OF predefined, repeat; ML
        # predefined, repeat; 4 sequences, count in 1 byte; repeats 3; offsets to 6, matches to 9, literals to 4;
        # matches into earlier blocks; overlaps.
        copied(("abc", 4, 5), ("defg", 6, 7), ("hij###......kl", 3, 9), ("m", 4, 4), ("nop", 1, 0), start="*" * 40),
        "28b52ffd205a4201002a940000506162636465666768696a020029496edd10180000232323440000302e2e2e2e2e2e0075000030"
        "6b6c6d6e6f7002fc6f10160e0b",
    ),
    "repeat-beside-predefined": Frame(
        # Blocks: 1 RLE, 3 compressed; literals: raw (5 bits); LL FSE log 5, repeat; OF predefined, FSE log 5, repeat;
        # ML FSE log 5, repeat; 7 sequences, count in 1 byte; repeats 3 1z; offsets to 6, matches to 6, literals to 3;
        # matches into earlier blocks; overlaps.
        copied(
            ("abc", 4, 5),
            ("de", 6, 4),
            ("", 4, 3),
            ("fghijkl", 3, 6),
            ("m", 6, 4),
            ("nopqr", 3, 6),
            ("s", 3, 4),
            ("tuv", 1, 0),
            start="*" * 40,
        ),
        "28b52ffd205e4201002adc0000506162636465666768696a03a890523e90523e90523e40f0c721016c0000306b6c6d6e6f7002fc"
        "55c918016d00003071727374757602ccaf4adc08",
    ),
    "tables-at-their-largest": Frame(
        # Blocks: 1 compressed; literals: raw (12 bits); LL FSE log 9 with -1; OF FSE log 8 with -1; ML FSE log 9 with
        # -1; 6 sequences, count in 1 byte; repeats 3 2z; offsets to 12, matches to 200, literals to 17; overlaps.
        copied(
            (ASCII[:10], 10, 3),
            (ASCII[10:15], 4, 4),
            (ASCII[15:32], 12, 200),
            ("", 10, 35),
            (ASCII[32:33], 4, 7),
            ("", 5, 66),
            (ASCII[33:40], 1, 0),
        ),
        "28b52ffd60630005050084022122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748"
        "06a814214244440440444444444444444404040400040404028140201008044110043d0301f1003c1e8fc7e3f1783ccff3bcf700"
        "04800103060606060606868585858585858585858585858585858585c562b1582c168bc562b1582ccbb200cbb2acb51cc757a0d4"
        "910c0f16ff9b15053cfdfeff071f",
    ),
    "tables-with-runs-of-zeros": Frame(
        # Blocks: 1 RLE, 1 compressed; literals: raw (12 bits); LL FSE log 5 with runs of zeros; OF FSE log 5; ML FSE
        # log 5 with runs of zeros; 3 sequences, count in 1 byte; offsets to 127, matches to 36, literals to 11;
        # matches into earlier blocks; overlaps.
        copied((ASCII[:9], 7, 4), (ASCII[9:20], 127, 36), ("", 5, 35), (ASCII[20:40], 1, 0), start="*" * 150),
        "28b52ffd600900b204002a05020084022122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f4041424344"
        "4546474803a8b0e263e101108ce1071088f1ffbf1fa082920826",
    ),
    "tables-of-less-than-one": Frame(
        # Blocks: 1 RLE, 1 compressed; literals: raw (12 bits); LL FSE log 5 with -1; OF FSE log 5 with -1; ML FSE log
        # 6 with -1; 3 sequences, count in 1 byte; offsets to 7, matches to 36, literals to 11; overlaps.
        copied((ASCII[:9], 7, 4), (ASCII[9:20], 7, 36), ("", 5, 35), (ASCII[20:40], 1, 0)) + b"." * 200,
        "28b52ffd603b0054030084022122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748"
        "03a800000000000000000000000000000000000000000000000000c0030100000000000000000000000000000000000000000000"
        "0000007cc0bf5ffca3f2b90d4306002e",
    ),
    "most-bits-in-a-sequence": Frame(
        # Blocks: 1 raw, 2 RLE, 1 compressed; literals: RLE (20 bits); LL FSE log 9 with -1; OF FSE log 8 with -1; ML
        # FSE log 9 with -1; 3 sequences, count in 1 byte; offsets to 201073, matches to 70000, literals to 40000;
        # matches into earlier blocks.
        copied(
            ("y" * 40000, 132072, 70000),
            ("y" * 50, 131077, 100),
            ("", 201073, 1000),
            ("y" * 10, 1, 0),
            start="1" * 100000 + "2" * 50000 + "end",
        ),
        "28b52ffda02bfc030002350c31821a0632180000656e64fd0300cdc7097903a81421424444044044444444444444440404040004"
        "040402814020100804411004e1030301f1003c1e8fc7e3f1783ccff33c780f048001030606060606068685858585858585858585"
        "85858585858585c562b1582c168bc562b1582ccbb200cbb2acb51ce5e922fa5320010180ff511c409cb688f501fdfdfb07",
    ),
    "match-at-the-window": Frame(
        # Blocks: 1 raw, 2 RLE, 1 compressed; literals: raw none (5 bits); LL predefined; OF predefined; ML
        # predefined; 1 sequence, count in 1 byte; offsets to 1024, matches to 1000, literals to 0; matches into
        # earlier blocks.
        bytes(7 * i % 256 for i in range(100))
        + b"x" * 924
        + bytes(7 * i % 256 for i in range(100))
        + b"x" * 900
        + b"*" * 1000,
        "28b52ffd4000d00a20030000070e151c232a31383f464d545b626970777e858c939aa1a8afb6bdc4cbd2d9e0e7eef5fc030a1118"
        "1f262d343b424950575e656c737a81888f969da4abb2b9c0c7ced5dce3eaf1f8ff060d141b222930373e454c535a61686f767d84"
        "8b9299a0a7aeb5e21c0078440000000100e507a83210431f002a",
    ),
    "match-at-a-window-of-1152": Frame(
        # Blocks: 1 raw, 2 RLE, 1 compressed; literals: raw (5 bits); LL predefined; OF predefined; ML predefined; 1
        # sequence, count in 1 byte; offsets to 1152, matches to 1000, literals to 1; matches into earlier blocks.
        copied(("q", 1152, 1000), ("*" * 1000, 1, 0), start="1" * 1152 + "abc"),
        "28b52ffd4001540b022400311800006162634c000008710100e507a9b210431f002a",
    ),
    "every-byte-256-times": Frame(
        # Blocks: 1 raw, 1 compressed; literals: raw none (5 bits); LL RLE; OF RLE; ML RLE; 1 sequence, count in 1
        # byte; offsets to 256, matches to 65280, literals to 0; matches into earlier blocks; overlaps.
        bytes(range(256)) * 256,
        "28b52ffd6000ff000800000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20212223242526272829"
        "2a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d"
        "5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f9091"
        "92939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5"
        "c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9"
        "fafbfcfdfeff4d0000000154000833fdfe81",
    ),
    "overlap-of-1": Frame(
        # Blocks: 1 compressed; literals: raw (5 bits); LL predefined; OF predefined; ML predefined; 1 sequence, count
        # in 1 byte; offsets to 1, matches to 100, literals to 3; overlaps.
        copied(("abc", 1, 100)),
        "28b52ffd206755000018616263010081d40d01",
    ),
    "overlap-of-3": Frame(
        # Blocks: 1 compressed; literals: raw (5 bits); LL predefined; OF predefined; ML predefined; 1 sequence, count
        # in 1 byte; offsets to 3, matches to 100, literals to 3; overlaps.
        copied(("abc", 3, 100)),
        "28b52ffd2067550000186162630100c1d40d01",
    ),
    "largest-blocks": Frame(
        # Blocks: 1 RLE, 2 compressed; literals: RLE (5 bits), RLE (20 bits); LL predefined; OF predefined; ML
        # predefined; 1 sequence, count in 1 byte; offsets to 1, matches to 131070, literals to 2; overlaps.
        b"a" * 131072 + b"b" * 131072 + b"c" * 131072,
        "28b52ffda0000006004c000011610100fbffe40e0b020010622d00000d00206300",
    ),
}

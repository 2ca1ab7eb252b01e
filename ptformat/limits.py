"""The numbers of the spec's table of limits (spec section 9). A reader refuses what exceeds them before it works."""

MAX_INTEGER = 2**53 - 1  # every integer of the schema; a JavaScript number holds it exactly
MAX_FILE_BYTES = MAX_INTEGER
MAX_TENSOR_BYTES = MAX_INTEGER  # of the nonzero dimensions' product, so that [2**62, 2**62, 0] is refused too
MAX_TOTAL_BYTES = MAX_INTEGER  # decoded, all tensors together
MAX_INDEX_BYTES = 256 * 2**20  # stored, and decoded
MAX_INDEX_RATIO = 256  # decoded index : stored index, when it is compressed
MAX_INDEX_VALUES = 2**22  # items of all its arrays and maps, a key and its value two: a byte can become 64 in memory
MAX_ENTRIES = 2**20
MAX_RANK = 32
MAX_PATH_BYTES = 1024
MAX_PATH_DEPTH = 128
MAX_INNER_PATHS = 2**20  # distinct ones: a tree of them is built, and a long path may name a hundred
MAX_METADATA_BYTES = 2**20  # encoded
MAX_DEPTH = 32  # nested arrays and maps of the index; the index map itself is depth 1
CHUNK_STEP = 64  # the chunk size is a multiple of this
DEFAULT_CHUNK_BYTES = 4 * 2**20
MAX_CHUNK_BYTES = 64 * 2**20
MAX_ZSTD_RATIO = 32_768  # decoded : stored, of any zstd frame
MAX_ZSTD_WINDOW = 64 * 2**20

ALIGN = 64
PAGE_ALIGN = 4096
PAGE_ALIGN_FROM = 2**20  # tensors of this many decoded bytes or more start on a page

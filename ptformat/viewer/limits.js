/** The limits of section 9, by their names there. */
export const MAX_INTEGER = Number.MAX_SAFE_INTEGER;
export const MAX_FILE_BYTES = Number.MAX_SAFE_INTEGER;
export const MAX_TENSOR_BYTES = Number.MAX_SAFE_INTEGER;
export const MAX_TOTAL_BYTES = Number.MAX_SAFE_INTEGER;
export const MAX_INDEX_BYTES = 268435456;
export const MAX_INDEX_RATIO = 256;
export const MAX_INDEX_VALUES = 4194304;
export const MAX_ENTRIES = 1048576;
export const MAX_RANK = 32;
export const MAX_PATH_BYTES = 1024;
export const MAX_PATH_DEPTH = 128;
export const MAX_INNER_PATHS = 1048576;
export const MAX_METADATA_BYTES = 1048576;
export const MAX_DEPTH = 32;
export const CHUNK_STEP = 64;
export const DEFAULT_CHUNK_BYTES = 4194304;
export const MAX_CHUNK_BYTES = 67108864;
export const MAX_ZSTD_RATIO = 32768;
export const MAX_ZSTD_WINDOW = 67108864;
export const ALIGN = 64;
export const PAGE_ALIGN = 4096;
export const PAGE_ALIGN_FROM = 1048576;

/** The limit of this reader alone. A buffer has at most 2^32 - 1 elements in some engines; all of them take 2 GiB. */
export const OWN_MAX_BUFFER = 2147483647;

/* ingot.h: the C interface of Ingot. Opens .ingot files, hands out their packed planes as they lie in the file, decodes
 * and multiplies them, on the CPU and on NVIDIA GPUs. Link with -lingot (pkg-config ingot, or CMake:
 * find_package(ingot), target ingot::ingot).
 *
 * Conventions
 *  1. Every function that can fail returns an ingot_status, 0 (INGOT_OK) on success. Results come through pointers and
 *     are written on success only (what a buffer holds after a failure is not stated). No function throws, prints,
 *     aborts or exits.
 *  2. ingot_error_text() says in words why the last failed call of this thread failed: it names the file, the tensor,
 *     the rule of the specification and the values. The text lives until the thread's next call that fails.
 *  3. Handles (ingot_model, ingot_tensor, ...) count references: what a function hands out is the caller's to
 *     release, once. A tensor keeps its model alive. Releasing NULL does nothing. Any other NULL for a pointer that is
 *     not said to be optional is INGOT_E_ARGUMENT.
 *  4. Structs begin with struct_size, which the caller sets to sizeof the struct as its own compiler sees it; it may be
 *     smaller than the library's (an older header), never larger (INGOT_E_ARGUMENT). New fields are added at the end.
 *     In a struct that goes in, zero is always the default.
 *  5. All functions may be called from any number of threads at once, on the same handles too. A call uses the number
 *     of threads that the model was opened with (ingot_open_options.threads), the calling thread being one of them: an
 *     engine with threads of its own opens with 1.
 *  6. Texts that the library hands out are UTF-8 of a stated length, not terminated, and live as long as the handle
 *     that they came from. Their data is never NULL. Names in a file may hold any bytes but invalid UTF-8: escape them
 *     before printing.
 *  7. A tensor of any rank is seen as a matrix: its last dimension is the columns, the product of all others the rows
 *     (1 by 1 for a scalar). Matrices are row-major; strides count elements. Buffers need the alignment of their
 *     elements (INGOT_C64: of a float), and may be NULL where nothing is to be written.
 *  8. Values: element (r, c) is the formula of spec/ENCODINGS.md, section 2, bit for bit, on every processor, with
 * every number of threads. Products are sums in f32 in no stated order; each precision's error bound is stated there.
 *  9. Access. INGOT_ACCESS_MAP maps the file: nothing is copied, and another process that truncates the file kills
 *     this one by SIGBUS. INGOT_ACCESS_COPY is the safe mode: it reads by pread into private memory, so that a file
 *     that shrinks or changes meanwhile gives INGOT_E_IO or INGOT_E_DATA; chunks once verified stay as they were.
 * 10. Verification. INGOT_VERIFY_LAZY checks each chunk of 1 MiB against its hash once, before it is first used;
 *     INGOT_VERIFY_OPEN checks everything in ingot_model_open; INGOT_VERIFY_OFF trusts the bytes. Header, index and the
 *     planes that hold indices (permutation, outlier positions) are always checked: no file makes the library read or
 *     write out of bounds. A damaged chunk is INGOT_E_DATA from the call that needs it, never a wrong value.
 */
#ifndef INGOT_H_
#define INGOT_H_

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define INGOT_API __attribute__((visibility("default")))
#else
#define INGOT_API
#endif

/* Enumerations that are passed by value hold any int in C++ too, so that a wrong one can be refused. */
#ifdef __cplusplus
#define INGOT_INT : int
#else
#define INGOT_INT
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define INGOT_ABI_VERSION 2 /* 2: devices */

typedef struct ingot_model ingot_model;
typedef struct ingot_tensor ingot_tensor;

typedef enum ingot_status INGOT_INT {
  INGOT_OK = 0,
  INGOT_E_ARGUMENT = 1,    /* NULL, an unknown struct size or enum value, a slice out of range, a buffer too small or
                              misaligned */
  INGOT_E_NOT_FOUND = 2,   /* no such tensor, metadata key, attachment, part or plane */
  INGOT_E_DATA = 3,        /* the bytes of the file break a rule of the specification */
  INGOT_E_IO = 4,          /* the operating system refused: missing file, permission, a read that failed */
  INGOT_E_UNSUPPORTED = 5, /* the file is sound, but this cannot be done with it: a foreign or unknown encoding; or
                              there is no GPU to do it on */
  INGOT_E_MEMORY = 6,      /* no memory */
  INGOT_E_INTERNAL = 7,    /* a defect of the library */
  INGOT_E_DEVICE = 8       /* a GPU or its driver refused or failed */
} ingot_status;

/* The numbers are those of the file (spec/FORMAT.md, "Dtypes"). */
typedef enum ingot_dtype INGOT_INT {
  INGOT_F32 = 0,
  INGOT_F16 = 1,
  INGOT_BF16 = 2,
  INGOT_F64 = 3,
  INGOT_F8_E4M3 = 4,
  INGOT_F8_E5M2 = 5,
  INGOT_I64 = 6,
  INGOT_I32 = 7,
  INGOT_I16 = 8,
  INGOT_I8 = 9,
  INGOT_U64 = 10,
  INGOT_U32 = 11,
  INGOT_U16 = 12,
  INGOT_U8 = 13,
  INGOT_BOOL = 14,
  INGOT_C64 = 15,
  INGOT_F8_E8M0 = 16,
  INGOT_F8_E4M3FNUZ = 17,
  INGOT_F8_E5M2FNUZ = 18
} ingot_dtype;

typedef struct ingot_text { /* see convention 6 */
  const char* data;
  size_t size;
} ingot_text;

/* ---- library ---- */

/* INGOT_ABI_VERSION of the library that runs; it grows when a function or field is added, the name of the shared
 * library changes when one is removed. */
INGOT_API uint32_t ingot_abi_version(void);
/* "0.1.0". Lives for ever. */
INGOT_API const char* ingot_version(void);
/* "INGOT_E_DATA"; "unknown status" for other numbers. Lives for ever. */
INGOT_API const char* ingot_status_name(ingot_status status);
/* Convention 2; "" before the first failure. Terminated. */
INGOT_API const char* ingot_error_text(void);
/* The SIMD target that kernels run on, by Highway's name ("AVX2"). The environment variable INGOT_TARGET forces one; if
 * this processor lacks it, ingot_model_open fails with INGOT_E_ARGUMENT. Lives for ever. */
INGOT_API const char* ingot_target(void);

/* ---- models ---- */

typedef enum ingot_access { INGOT_ACCESS_MAP = 0, INGOT_ACCESS_COPY = 1 } ingot_access;
typedef enum ingot_verify { INGOT_VERIFY_LAZY = 0, INGOT_VERIFY_OPEN = 1, INGOT_VERIFY_OFF = 2 } ingot_verify;

typedef struct ingot_open_options {
  size_t struct_size;
  uint32_t access;      /* an ingot_access; the environment variable INGOT_NO_MMAP makes it INGOT_ACCESS_COPY */
  uint32_t verify;      /* an ingot_verify */
  uint32_t threads;     /* of one call, at most 1024; 0: the environment variable INGOT_THREADS, else one for each
                           processor. More than there are processors are not used. */
  uint32_t reserved;    /* 0 */
  uint64_t cache_bytes; /* of decompressed chunks that no call is using; 0: 256 MiB. Chunks in use are not counted. */
} ingot_open_options;

/* Opens a file, or a manifest with its shards beside it, and validates header and index in full. `options` may be
 * NULL. */
INGOT_API ingot_status ingot_model_open(const char* path, const ingot_open_options* options, ingot_model** out);
INGOT_API ingot_model* ingot_model_retain(ingot_model* model); /* returns `model` */
INGOT_API void ingot_model_release(ingot_model* model);

typedef struct ingot_model_info {
  size_t struct_size;
  uint16_t format_major, format_minor; /* of the (main) file */
  uint32_t file_count;                 /* 1 + the shards */
  uint32_t tensor_count;               /* numbered in the order of their names' bytes */
  uint32_t metadata_count;
  uint32_t attachment_count;
  uint32_t reserved;
  uint64_t file_bytes;        /* of all files */
  uint8_t content_digest[16]; /* XXH3-128, spec/FORMAT.md, section 9; high byte first, as `ingot inspect` prints it */
} ingot_model_info;
INGOT_API ingot_status ingot_model_describe(const ingot_model* model, ingot_model_info* out);

/* Called now and then with bytes done and bytes in all, from one thread at a time, not always the caller's; anything
 * but 0 stops the work. */
typedef int (*ingot_progress)(void* user, uint64_t done, uint64_t total);
/* Checks every chunk of every file now, in parallel, whatever the model's verify mode; each is checked once. The first
 * damaged chunk is INGOT_E_DATA. `progress` may be NULL; stopped by it: INGOT_E_ARGUMENT. */
INGOT_API ingot_status ingot_model_verify(const ingot_model* model, ingot_progress progress, void* user);

typedef struct ingot_memory_info {
  size_t struct_size;
  uint64_t mapped_bytes;   /* of files that are mapped */
  uint64_t resident_bytes; /* of those, in the page cache now */
  uint64_t private_bytes;  /* read into private memory: indexes, INGOT_ACCESS_COPY, planes that hold indices */
  uint64_t cache_bytes;    /* decompressed chunks, in use ones too */
  uint64_t cache_limit;
  uint64_t verified_bytes; /* of planes that were checked so far */
} ingot_memory_info;
INGOT_API ingot_status ingot_model_memory(const ingot_model* model, ingot_memory_info* out);

/* ---- metadata and attachments, of the main file ---- */

typedef enum ingot_metadata_type {
  INGOT_META_BOOL = 0,
  INGOT_META_U8,
  INGOT_META_I8,
  INGOT_META_U16,
  INGOT_META_I16,
  INGOT_META_U32,
  INGOT_META_I32,
  INGOT_META_U64,
  INGOT_META_I64,
  INGOT_META_F32,
  INGOT_META_F64,
  INGOT_META_STRING,
  INGOT_META_ARRAY
} ingot_metadata_type;

typedef struct ingot_metadata {
  size_t struct_size;
  uint32_t type;         /* an ingot_metadata_type */
  uint32_t element_type; /* of an array */
  ingot_text key;
  const void*
      value;      /* as in the file: little-endian, unaligned; of an array its elements, strings as u32 size + bytes */
  uint64_t size;  /* bytes at `value` */
  uint64_t count; /* elements of an array; 1 otherwise */
} ingot_metadata;
INGOT_API ingot_status ingot_metadata_at(const ingot_model* model, uint32_t number, ingot_metadata* out);
INGOT_API ingot_status ingot_metadata_find(const ingot_model* model, const char* key, size_t key_size,
                                           ingot_metadata* out);

typedef struct ingot_attachment {
  size_t struct_size;
  ingot_text name; /* "config.json" */
  uint64_t size;
} ingot_attachment;
INGOT_API ingot_status ingot_attachment_at(const ingot_model* model, uint32_t number, ingot_attachment* out);
INGOT_API ingot_status ingot_attachment_find(const ingot_model* model, const char* name, size_t name_size,
                                             ingot_attachment* out, uint32_t* number);
/* Copies the whole attachment, verified; capacity < its size is INGOT_E_ARGUMENT. */
INGOT_API ingot_status ingot_attachment_read(const ingot_model* model, uint32_t number, void* buffer, size_t capacity);

/* ---- tensors ---- */

/* The name of tensor `number`, without opening it. */
INGOT_API ingot_status ingot_tensor_name(const ingot_model* model, uint32_t number, ingot_text* out);
/* The number of the tensor with that name. */
INGOT_API ingot_status ingot_tensor_find(const ingot_model* model, const char* name, size_t name_size,
                                         uint32_t* number);
/* Opens a tensor: no plane is read but those that hold indices, which are checked in full. A tensor whose encoding is
 * foreign or unknown opens too, and can be described and verified. */
INGOT_API ingot_status ingot_tensor_open(ingot_model* model, uint32_t number, ingot_tensor** out);
INGOT_API ingot_tensor* ingot_tensor_retain(ingot_tensor* tensor); /* returns `tensor` */
INGOT_API void ingot_tensor_release(ingot_tensor* tensor);

#define INGOT_MAX_RANK 8

typedef struct ingot_tensor_info {
  size_t struct_size;
  uint32_t number;
  uint32_t dtype; /* of the source; an ingot_dtype */
  uint32_t rank;
  uint32_t axis; /* that the parts are joined along */
  uint64_t dims[INGOT_MAX_RANK];
  uint64_t rows, columns; /* convention 7 */
  ingot_text name;
  ingot_text encoding; /* in words: "linear 4-bit g128 s f16 z 4-bit" */
  uint32_t part_count;
  uint8_t is_alias;      /* tied: its planes belong to an earlier tensor */
  uint8_t can_decode;    /* 0: a foreign or unknown encoding, or a dtype without real values */
  uint8_t can_multiply;  /* 0: as above */
  uint8_t reserved;      /* 0 */
  uint64_t plane_bytes;  /* of all planes, padding counted */
  uint64_t stored_bytes; /* what they take in the file */
  uint64_t slice_rows;   /* the slice unit: a slice that starts and ends at multiples of it (or at the end) reads and */
  uint64_t slice_columns; /* verifies nothing that another such slice needs, whole chunks of 1 MiB aside */
  double bits_per_weight; /* of the planes */
} ingot_tensor_info;
INGOT_API ingot_status ingot_tensor_describe(const ingot_tensor* tensor, ingot_tensor_info* out);

/* A rectangle of the matrix; rows = 0 or columns = 0: up to the end. Its first row and column have to be there (in a
 * matrix without elements: 0). Any rectangle may be asked for, not only whole slice units. NULL is the whole matrix. */
typedef struct ingot_slice {
  size_t struct_size;
  uint64_t row, rows;
  uint64_t column, columns;
} ingot_slice;

/* Decodes a slice to dtype INGOT_F32, INGOT_F16 or INGOT_BF16: value (i, j) of the slice goes to out[i * stride + j].
 * stride 0: the slice's columns. `out_bytes` is the size of the buffer. Raw tensors of the types F32, F16, BF16, F64,
 * F8_E4M3 and F8_E5M2 are converted. */
INGOT_API ingot_status ingot_tensor_decode(const ingot_tensor* tensor, const ingot_slice* slice, ingot_dtype dtype,
                                           void* out, size_t out_bytes, uint64_t stride);
/* The elements of a slice of a raw tensor as they are stored, in the tensor's own dtype (any). */
INGOT_API ingot_status ingot_tensor_read(const ingot_tensor* tensor, const ingot_slice* slice, void* out,
                                         size_t out_bytes, uint64_t stride);
/* Checks the chunks that a slice needs now. */
INGOT_API ingot_status ingot_tensor_verify(const ingot_tensor* tensor, const ingot_slice* slice);
/* Asks the operating system to read ahead what a slice needs; returns at once. */
INGOT_API ingot_status ingot_tensor_prefetch(const ingot_tensor* tensor, const ingot_slice* slice);

/* ---- products ---- */

/* How activations are rounded. An element of Y differs from the exact sum over the C columns of w x by at most what
 * stands beside each precision, where, with w' = |s (m - z)| + |o| per element, x' = x t (x where there is no column
 * scale), M = sum of w' |x'| + sum of |h x|,   N = sum of w',   B = sum of |s| max |m|,   a = max |x'| over the row of
 * X, e = (C / 4 + 16) 2^-24 M for the order of summation, plus 2^-11 M (f16) or 2^-8 M (bf16) for each rounding that an
 * arithmetic or result type other than f32 asks for, up to five an element: products may skip them. */
typedef enum ingot_precision {
  INGOT_PRECISION_F32 = 0,     /* e */
  INGOT_PRECISION_INT16 = 1,   /* e + 2^-14 a N: x' in 16-bit fixed point */
  INGOT_PRECISION_INT8 = 2,    /* e + 2^-7.9 a N: x' in 8 bits by the row's absolute maximum; with a codebook, whose
                                  entries may be rounded to 8 bits too, + 2^-7.9 a B */
  INGOT_PRECISION_LLM_INT8 = 3 /* as INT8, but columns of X with a value over `threshold` are multiplied in f32, and a
                                  is the maximum of the others */
} ingot_precision;

typedef struct ingot_product {
  size_t struct_size;
  uint32_t precision; /* an ingot_precision; a larger error than it allows is never made, a smaller one may be */
  uint32_t x_dtype;   /* INGOT_F32, INGOT_F16 or INGOT_BF16 */
  const void* x;      /* x_rows rows of as many columns as the slice has */
  uint64_t x_rows;
  uint64_t x_stride; /* 0: the slice's columns */
  float* y;          /* x_rows rows of as many columns as the slice has rows */
  uint64_t y_stride; /* 0: the slice's rows */
  float threshold;   /* of INGOT_PRECISION_LLM_INT8; 0: 6.0 */
  uint32_t add;      /* 1: Y += X W^T instead of Y = X W^T (a slice of columns is one rank's share of the sum) */
} ingot_product;

/* Y = X W^T with the slice W of the tensor; weights are never decoded as a whole. */
INGOT_API ingot_status ingot_tensor_multiply(const ingot_tensor* tensor, const ingot_slice* slice,
                                             const ingot_product* product);

/* ---- planes, for engines with kernels of their own ---- */

typedef enum ingot_kind { INGOT_KIND_RAW = 1, INGOT_KIND_LINEAR = 2, INGOT_KIND_FOREIGN = 3 } ingot_kind;
typedef enum ingot_form { INGOT_ABSENT = 0, INGOT_CONSTANT = 1, INGOT_ARRAY = 2, INGOT_NESTED = 3 } ingot_form;

typedef struct ingot_operand {
  uint32_t form;  /* an ingot_form */
  uint32_t dtype; /* of an array */
  float constant;
  uint32_t child; /* of a nested one: its number among the encoding's children, from 1 */
} ingot_operand;

/* One encoding of a part: spec/ENCODINGS.md, section 2. */
typedef struct ingot_encoding {
  size_t struct_size;
  uint32_t kind; /* an ingot_kind, or a number that this library does not know */
  uint32_t plane_count;
  uint32_t child_count;
  uint32_t bits;               /* this and what follows: of a linear encoding, else 0 */
  uint32_t arithmetic, result; /* INGOT_F32, INGOT_F16 or INGOT_BF16 */
  uint32_t has_codebook, has_permutation;
  uint32_t outliers; /* 0 none, 1 unstructured (by row), 2 whole columns */
  uint32_t outlier_dtype;
  uint64_t outlier_count;
  uint64_t rows, columns; /* of the view */
  uint64_t group_rows, group_columns;
  ingot_operand s, z, o, t;
  uint64_t extent;           /* of the part along the tensor's axis */
  ingot_text foreign_name;   /* of foreign blocks */
  uint32_t foreign_bytes;    /* of one block */
  uint32_t foreign_elements; /* of one block */
} ingot_encoding;
/* Encoding `child` of part `part`: 0 the part's own, 1.. its children. */
INGOT_API ingot_status ingot_tensor_encoding(const ingot_tensor* tensor, uint32_t part, uint32_t child,
                                             ingot_encoding* out);

typedef enum ingot_role {
  INGOT_ROLE_RAW = 0,
  INGOT_ROLE_CODES,
  INGOT_ROLE_CODEBOOK,
  INGOT_ROLE_SCALES,
  INGOT_ROLE_ZERO_POINTS,
  INGOT_ROLE_OFFSETS,
  INGOT_ROLE_COLUMN_SCALES,
  INGOT_ROLE_PERMUTATION,
  INGOT_ROLE_OUTLIER_ROWS,
  INGOT_ROLE_OUTLIER_COLUMNS,
  INGOT_ROLE_OUTLIER_VALUES,
  INGOT_ROLE_FOREIGN_BLOCKS
} ingot_role;

typedef struct ingot_plane {
  size_t struct_size;
  uint32_t role;        /* an ingot_role; of an unknown kind 0 */
  uint32_t field_width; /* of codes: 8, 4, 2 or 1 bits */
  uint32_t dtype;       /* of arrays; INGOT_U8 for codes, INGOT_U16, INGOT_U32 or INGOT_U64 for what holds indices */
  uint32_t compressed;
  uint64_t size;    /* bytes */
  const void* data; /* all of the plane: the mapped file itself, or private memory. Verified if the model verifies.
                       Lives as long as the tensor handle. At a multiple of 64 bytes. */
} ingot_plane;
/* Plane `plane` of encoding `child` of part `part`, whole: this verifies (and reads or decompresses) all of it. */
INGOT_API ingot_status ingot_tensor_plane(const ingot_tensor* tensor, uint32_t part, uint32_t child, uint32_t plane,
                                          ingot_plane* out);

/* ---- devices: NVIDIA GPUs ----
 *
 * Conventions of this part
 * 11. A build without CUDA, no driver or too old a one, no such device, a device older than sm_75: INGOT_E_UNSUPPORTED
 *     with the reason; nothing else changes. Failures of a device or its driver are INGOT_E_DEVICE, memory of it that
 *     is short INGOT_E_MEMORY; both name the device.
 * 12. `stream` is a cudaStream_t of the tensor's device, or NULL: its default stream. Work is enqueued there and the
 *     call returns; all that it uses - buffers, scratch, the device tensor - has to live until it is done, also if the
 *     call fails: some of the work may have been enqueued. What fails later is reported by ingot_device_wait. Buffers
 *     are memory of the device, which nobody can check. No call leaves another device current than it found, and none
 *     resets a device.
 * 13. Handles count references as others do: a device tensor keeps its device alive, and needs neither model nor file.
 *     Releasing the last reference to a device tensor frees its memory at once (ingot_device_options.release). */
typedef struct ingot_device ingot_device;
typedef struct ingot_device_tensor ingot_device_tensor;

/* How many GPUs the driver knows, one at least; their numbers begin with 0, and one that is too old is refused when it
 * is opened. None, no driver, or a build without CUDA: INGOT_E_UNSUPPORTED. */
INGOT_API ingot_status ingot_device_count(uint32_t* out);

typedef struct ingot_device_options {
  size_t struct_size;
  uint32_t threads;    /* that read, hash and copy in one upload, the calling one among them, at most 1024; 0: 2 */
  uint32_t streams;    /* of the upload, at most 64; 0: 2 */
  uint64_t ring_bytes; /* of pinned memory for the upload, 1 MiB for each thread at least; 0: 32 MiB. Taken by the first
                          upload, kept with the handle. */
  /* Where the memory of tensors comes from; both or none. `allocate` gives memory of the device at a multiple of
   * `alignment`, or NULL if there is none; `size` > 0. Called from any thread, from several at once, until the last
   * tensor of the device is released. */
  void* user;
  void* (*allocate)(void* user, uint64_t size, uint64_t alignment);
  void (*release)(void* user, void* at, uint64_t size);
} ingot_device_options;
/* `options` may be NULL. Several handles for one GPU do not know of each other. */
INGOT_API ingot_status ingot_device_open(uint32_t number, const ingot_device_options* options, ingot_device** out);
INGOT_API ingot_device* ingot_device_retain(ingot_device* device); /* returns `device` */
INGOT_API void ingot_device_release(ingot_device* device);

typedef struct ingot_device_info {
  size_t struct_size;
  uint32_t number;
  uint32_t architecture; /* 75, 80, 90, ... */
  uint32_t multiprocessors;
  uint32_t reserved;                 /* 0 */
  uint64_t memory_bytes, free_bytes; /* free now, for all processes */
  ingot_text name;                   /* "NVIDIA H100 80GB HBM3" */
} ingot_device_info;
INGOT_API ingot_status ingot_device_describe(const ingot_device* device, ingot_device_info* out);

/* Waits for everything that was enqueued on the stream so far, by anyone, and reports what of it failed
 * (INGOT_E_DEVICE). After a failure CUDA refuses all further work of the process on that device. */
INGOT_API ingot_status ingot_device_wait(const ingot_device* device, void* stream);

typedef struct ingot_upload { /* what is to go there; in an array all have the same struct_size */
  size_t struct_size;
  uint32_t tensor;   /* its number in the model */
  uint32_t reserved; /* 0 */
  ingot_slice slice; /* all zero (its struct_size too): the whole tensor */
} ingot_upload;

/* Told of each tensor once it is done: complete and verified (`tensor` is the callee's to release, `status` INGOT_OK,
 * `text` ""), or refused (`tensor` NULL) with the error's status and text: INGOT_E_DATA, INGOT_E_IO, of that tensor
 * alone. `request` is its place in the array. In no stated order, from any thread, one call at a time, never one of
 * these and the progress function at once; neither may upload with the same handle, which waits for this call. */
typedef void (*ingot_uploaded)(void* user, size_t request, ingot_device_tensor* tensor, ingot_status status,
                               const char* text);

typedef struct ingot_upload_hooks {
  size_t struct_size;
  void* user;
  ingot_progress progress; /* may be NULL; in bytes of planes. Stopped by it: INGOT_E_ARGUMENT as ingot_model_verify */
  ingot_uploaded uploaded; /* may be NULL */
} ingot_upload_hooks;

/* Uploads tensors: each chunk that a slice needs is read, checked (unless the model is INGOT_VERIFY_OFF) and copied
 * once, and nothing is handed out before all of it has arrived. Foreign and unknown encodings go there too. With
 * hooks->uploaded, each outcome goes there and `out` must be NULL; the call itself fails only for what concerns all of
 * them: bad arguments, INGOT_E_MEMORY, INGOT_E_DEVICE (naming the tensor), stopped by progress. What was handed out by
 * then stays with the callee, the rest is freed. Without it, `out` gets `count` handles, all or nothing, and the first
 * request that fails is the error. `hooks` may be NULL. Tied tensors, and requests for the same slice, share memory.
 * Uploads on one handle take turns. */
INGOT_API ingot_status ingot_device_upload(ingot_device* device, ingot_model* model, const ingot_upload* uploads,
                                           size_t count, const ingot_upload_hooks* hooks, ingot_device_tensor** out);
INGOT_API ingot_device_tensor* ingot_device_tensor_retain(ingot_device_tensor* tensor); /* returns `tensor` */
INGOT_API void ingot_device_tensor_release(ingot_device_tensor* tensor);

typedef struct ingot_device_tensor_info {
  size_t struct_size;
  uint64_t rows, columns;                          /* of the tensor: convention 7 */
  uint64_t row, slice_rows, column, slice_columns; /* that were asked for, so are there */
  uint64_t memory_bytes;                           /* on the device; of tied tensors counted for each */
  ingot_text name;
  uint32_t part_count;
  uint8_t can_decode;   /* 0: a foreign or unknown encoding, or a dtype without real values */
  uint8_t can_multiply; /* 0: as above */
  uint8_t reserved[2];  /* 0 */
} ingot_device_tensor_info;
INGOT_API ingot_status ingot_device_tensor_describe(const ingot_device_tensor* tensor, ingot_device_tensor_info* out);

/* A plane on the device, for engines with kernels of their own: the bytes that the slice needs, as they are in the
 * file. `rows` pieces of `size` bytes each lie one after the other at `data`; in the plane (spec/ENCODINGS.md) the
 * first one begins at byte `offset`, each other `pitch` bytes after the one before. A whole plane is one piece from 0
 * on. The rest of what kernels need to know is the host's ingot_tensor_encoding. */
typedef struct ingot_device_plane {
  size_t struct_size;
  uint32_t role;     /* an ingot_role; of an unknown kind INGOT_ROLE_RAW */
  uint32_t reserved; /* 0 */
  const void* data;  /* NULL: the slice needs nothing of it. Lives as long as the tensor handle. Of one piece, offset
                        bytes after a multiple of 256 */
  uint64_t offset, size;
  uint64_t rows, pitch;
  uint64_t plane_size; /* in the file */
} ingot_device_plane;
/* Plane `plane` of encoding `child` of part `part`, numbered as in ingot_tensor_plane. */
INGOT_API ingot_status ingot_device_tensor_plane(const ingot_device_tensor* tensor, uint32_t part, uint32_t child,
                                                 uint32_t plane, ingot_device_plane* out);

/* Enqueues the decoding of a slice to device memory: as ingot_tensor_decode, with the same bits. The slice has the
 * tensor's own rows and columns, within what is there; rows or columns = 0: up to the end of what is there; NULL: all
 * that is there. */
INGOT_API ingot_status ingot_device_tensor_decode(const ingot_device_tensor* tensor, const ingot_slice* slice,
                                                  ingot_dtype dtype, void* out, size_t out_bytes, uint64_t stride,
                                                  void* stream);

/* As ingot_product; all memory is the device's. */
typedef struct ingot_device_product {
  size_t struct_size;
  uint32_t precision; /* INGOT_PRECISION_F32: x as it is, sums in f32; INGOT_PRECISION_INT8,
                         INGOT_PRECISION_LLM_INT8; INGOT_PRECISION_INT16: INGOT_E_UNSUPPORTED */
  uint32_t x_dtype;   /* INGOT_F16 or INGOT_BF16; INGOT_F32: INGOT_E_UNSUPPORTED */
  const void* x;
  uint64_t x_rows;
  uint64_t x_stride;    /* 0: the slice's columns */
  float* y;             /* must not overlap x */
  uint64_t y_stride;    /* 0: the slice's rows */
  float threshold;      /* of INGOT_PRECISION_LLM_INT8; 0: 6.0 */
  uint32_t add;         /* 1: Y += X W^T */
  void* scratch;        /* at a multiple of 256; its contents do not matter. Not shared by products that may overlap */
  size_t scratch_bytes; /* ingot_device_product_scratch at least */
} ingot_device_product;
/* Bytes of scratch that a product needs, and one with fewer rows of activations: x, y, scratch, their sizes and strides
 * are not looked at. */
INGOT_API ingot_status ingot_device_product_scratch(const ingot_device_tensor* tensor, const ingot_slice* slice,
                                                    const ingot_device_product* product, size_t* out);
/* Enqueues Y = X W^T with the slice W (as in ingot_device_tensor_decode). Errors differ from those beside
 * ingot_precision, in the letters of which, with |s| (|m| + |z|) + |o| for w': e = (C + 64) 2^-24 M. On tensor cores,
 * entries of codebooks are rounded to the type of x, + 2^-10 B' (f16) or 2^-7 B' (bf16), B' = sum of |s| max |m| |x'|;
 * a column scale that is an array: + 2^-20 M (f16), 2^-15 M (bf16). x must be finite, and x t as an f16 if x is one;
 * what of it is below 2^-24 may be lost. INT8, LLM_INT8: + 2^-7.9 a N, where an encoding allows it, else as F32. A
 * library that was built with cuBLASLt (INGOT_CUBLASLT) may use it from 128 rows of activations on, with weights
 * rounded to the type of x: + 2^-11 M (f16), 2^-8 M (bf16). Weights whose rows are not those of the encoding's view are
 * decoded into scratch, in f32. */
INGOT_API ingot_status ingot_device_tensor_multiply(const ingot_device_tensor* tensor, const ingot_slice* slice,
                                                    const ingot_device_product* product, void* stream);

#ifdef __cplusplus
}
#endif

#endif /* INGOT_H_ */

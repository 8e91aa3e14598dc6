/* What callers get wrong: NULL, struct sizes, numbers, slices, buffers, values of enums. Each is an error code with a
 * text, and nothing is written. */
#include "check.h"

static ingot_model* model;

/* One byte too small for the first version, one too large. */
#define CHECK_SIZES(type, call)                            \
  do {                                                     \
    type out;                                              \
    memset(&out, 0x5A, sizeof out);                        \
    out.struct_size = sizeof out + 1;                      \
    CHECK_ERROR(call, INGOT_E_ARGUMENT, "struct_size");    \
    out.struct_size = 0;                                   \
    CHECK_ERROR(call, INGOT_E_ARGUMENT, "struct_size");    \
    out.struct_size = sizeof(size_t);                      \
    CHECK_ERROR(call, INGOT_E_ARGUMENT, "struct_size");    \
    CHECK(((unsigned char*)&out)[sizeof(size_t)] == 0x5A); \
    out.struct_size = sizeof out;                          \
    CHECK((call) == INGOT_OK);                             \
    CHECK(out.struct_size == sizeof out);                  \
  } while (0)

static void test_library(void) {
  CHECK(ingot_abi_version() == INGOT_ABI_VERSION);
  CHECK(strlen(ingot_version()) >= 5);
  CHECK(strcmp(ingot_status_name(INGOT_E_DATA), "INGOT_E_DATA") == 0);
  CHECK(strcmp(ingot_status_name(INGOT_OK), "INGOT_OK") == 0);
  CHECK(strcmp(ingot_status_name(INGOT_E_INTERNAL), "INGOT_E_INTERNAL") == 0);
  CHECK(strcmp(ingot_status_name((ingot_status)99), "unknown status") == 0);
  CHECK(strcmp(ingot_status_name((ingot_status)-1), "unknown status") == 0);
  CHECK(strlen(ingot_target()) > 0);
  CHECK(ingot_error_text()[0] == '\0');
}

static void test_open(const char* path) {
  ingot_open_options options;
  ingot_model* out = (ingot_model*)&options;
  memset(&options, 0, sizeof options);
  CHECK_ERROR(ingot_model_open(NULL, NULL, &out), INGOT_E_ARGUMENT, "path is NULL");
  CHECK_ERROR(ingot_model_open(path, NULL, NULL), INGOT_E_ARGUMENT, "out is NULL");
  CHECK_ERROR(ingot_model_open(path, &options, &out), INGOT_E_ARGUMENT, "struct_size");
  options.struct_size = sizeof options + 8;
  CHECK_ERROR(ingot_model_open(path, &options, &out), INGOT_E_ARGUMENT, "struct_size");
  options.struct_size = sizeof options;
  options.access = 2;
  CHECK_ERROR(ingot_model_open(path, &options, &out), INGOT_E_ARGUMENT, "access");
  options.access = 0, options.verify = 3;
  CHECK_ERROR(ingot_model_open(path, &options, &out), INGOT_E_ARGUMENT, "verify");
  options.verify = 0, options.threads = 100000;
  CHECK_ERROR(ingot_model_open(path, &options, &out), INGOT_E_ARGUMENT, "threads");
  options.threads = 0, options.reserved = 1;
  CHECK_ERROR(ingot_model_open(path, &options, &out), INGOT_E_ARGUMENT, "reserved");
  CHECK_ERROR(ingot_model_open("/no/such/file.ingot", NULL, &out), INGOT_E_IO, "/no/such/file.ingot");
  CHECK_ERROR(ingot_model_open("/", NULL, &out), INGOT_E_IO, "not a regular file");
  CHECK_ERROR(ingot_model_open(__FILE__, NULL, &out), INGOT_E_DATA, "R-");
  CHECK(out == (ingot_model*)&options);
  setenv("INGOT_THREADS", "none", 1);
  CHECK_ERROR(ingot_model_open(path, NULL, &out), INGOT_E_ARGUMENT, "INGOT_THREADS");
  unsetenv("INGOT_THREADS");
}

static void test_handles(void) {
  ingot_text text;
  ingot_model_info info;
  ingot_memory_info memory;
  ingot_metadata metadata;
  ingot_attachment attachment;
  ingot_tensor_info tensor_info;
  ingot_tensor* tensor;
  ingot_product product;
  uint32_t number;
  float value;
  info.struct_size = sizeof info, memory.struct_size = sizeof memory, metadata.struct_size = sizeof metadata;
  attachment.struct_size = sizeof attachment, tensor_info.struct_size = sizeof tensor_info;
  memset(&product, 0, sizeof product);
  product.struct_size = sizeof product;
  CHECK(ingot_model_retain(NULL) == NULL);
  CHECK(ingot_tensor_retain(NULL) == NULL);
  ingot_model_release(NULL);
  ingot_tensor_release(NULL);
  CHECK_ERROR(ingot_model_describe(NULL, &info), INGOT_E_ARGUMENT, "model is NULL");
  CHECK_ERROR(ingot_model_describe(model, NULL), INGOT_E_ARGUMENT, "out is NULL");
  CHECK_ERROR(ingot_model_verify(NULL, NULL, NULL), INGOT_E_ARGUMENT, "model is NULL");
  CHECK_ERROR(ingot_model_memory(NULL, &memory), INGOT_E_ARGUMENT, "model is NULL");
  CHECK_ERROR(ingot_metadata_at(NULL, 0, &metadata), INGOT_E_ARGUMENT, "model is NULL");
  CHECK_ERROR(ingot_metadata_find(NULL, "a", 1, &metadata), INGOT_E_ARGUMENT, "model is NULL");
  CHECK_ERROR(ingot_metadata_find(model, NULL, 1, &metadata), INGOT_E_ARGUMENT, "key is NULL");
  CHECK_ERROR(ingot_metadata_find(model, "a", 1, NULL), INGOT_E_ARGUMENT, "out is NULL");
  CHECK_ERROR(ingot_attachment_at(NULL, 0, &attachment), INGOT_E_ARGUMENT, "model is NULL");
  CHECK_ERROR(ingot_attachment_find(model, NULL, 1, &attachment, &number), INGOT_E_ARGUMENT, "name is NULL");
  CHECK_ERROR(ingot_attachment_find(model, "a", 1, &attachment, NULL), INGOT_E_ARGUMENT, "number is NULL");
  CHECK_ERROR(ingot_attachment_read(NULL, 0, &value, 4), INGOT_E_ARGUMENT, "model is NULL");
  CHECK_ERROR(ingot_attachment_read(model, 0, NULL, 100), INGOT_E_ARGUMENT, "buffer is NULL");
  CHECK_ERROR(ingot_tensor_name(model, 0, NULL), INGOT_E_ARGUMENT, "out is NULL");
  CHECK_ERROR(ingot_tensor_name(NULL, 0, &text), INGOT_E_ARGUMENT, "model is NULL");
  CHECK_ERROR(ingot_tensor_find(model, NULL, 0, &number), INGOT_E_ARGUMENT, "name is NULL");
  CHECK_ERROR(ingot_tensor_find(model, "raw", 3, NULL), INGOT_E_ARGUMENT, "number is NULL");
  CHECK_ERROR(ingot_tensor_open(NULL, 0, &tensor), INGOT_E_ARGUMENT, "model is NULL");
  CHECK_ERROR(ingot_tensor_open(model, 0, NULL), INGOT_E_ARGUMENT, "out is NULL");
  CHECK_ERROR(ingot_tensor_describe(NULL, &tensor_info), INGOT_E_ARGUMENT, "tensor is NULL");
  CHECK_ERROR(ingot_tensor_decode(NULL, NULL, INGOT_F32, &value, 4, 0), INGOT_E_ARGUMENT, "tensor is NULL");
  CHECK_ERROR(ingot_tensor_read(NULL, NULL, &value, 4, 0), INGOT_E_ARGUMENT, "tensor is NULL");
  CHECK_ERROR(ingot_tensor_verify(NULL, NULL), INGOT_E_ARGUMENT, "tensor is NULL");
  CHECK_ERROR(ingot_tensor_prefetch(NULL, NULL), INGOT_E_ARGUMENT, "tensor is NULL");
  CHECK_ERROR(ingot_tensor_multiply(NULL, NULL, &product), INGOT_E_ARGUMENT, "tensor is NULL");
  CHECK_ERROR(ingot_tensor_encoding(NULL, 0, 0, NULL), INGOT_E_ARGUMENT, "tensor is NULL");
  CHECK_ERROR(ingot_tensor_plane(NULL, 0, 0, 0, NULL), INGOT_E_ARGUMENT, "tensor is NULL");
}

static void test_sizes(void) {
  ingot_tensor* tensor = check_tensor(model, "nested");
  uint32_t number;
  CHECK_SIZES(ingot_model_info, ingot_model_describe(model, &out));
  CHECK_SIZES(ingot_memory_info, ingot_model_memory(model, &out));
  CHECK_SIZES(ingot_metadata, ingot_metadata_at(model, 0, &out));
  CHECK_SIZES(ingot_metadata, ingot_metadata_find(model, "author", 6, &out));
  CHECK_SIZES(ingot_attachment, ingot_attachment_at(model, 0, &out));
  CHECK_SIZES(ingot_attachment, ingot_attachment_find(model, "notes.txt", 9, &out, &number));
  CHECK_SIZES(ingot_tensor_info, ingot_tensor_describe(tensor, &out));
  CHECK_SIZES(ingot_encoding, ingot_tensor_encoding(tensor, 0, 1, &out));
  CHECK_SIZES(ingot_plane, ingot_tensor_plane(tensor, 0, 0, 0, &out));
  ingot_tensor_release(tensor);
}

static void test_numbers(void) {
  ingot_tensor* tensor = check_tensor(model, "nested");
  ingot_text text;
  ingot_metadata metadata;
  ingot_attachment attachment;
  ingot_encoding encoding;
  ingot_plane plane;
  uint32_t number = 4711;
  metadata.struct_size = sizeof metadata, attachment.struct_size = sizeof attachment;
  encoding.struct_size = sizeof encoding, plane.struct_size = sizeof plane;
  CHECK_ERROR(ingot_tensor_name(model, 1000, &text), INGOT_E_NOT_FOUND, "1000");
  CHECK_ERROR(ingot_tensor_open(model, 1000, &tensor), INGOT_E_NOT_FOUND, "1000");
  CHECK_ERROR(ingot_tensor_find(model, "ra\n", 3, &number), INGOT_E_NOT_FOUND, "'ra\\x0a'");
  CHECK(number == 4711);
  CHECK_ERROR(ingot_metadata_at(model, 3, &metadata), INGOT_E_NOT_FOUND, "3");
  CHECK_ERROR(ingot_metadata_find(model, "auth", 4, &metadata), INGOT_E_NOT_FOUND, "'auth'");
  CHECK_ERROR(ingot_attachment_at(model, 3, &attachment), INGOT_E_NOT_FOUND, "3");
  CHECK_ERROR(ingot_attachment_find(model, "a", 1, &attachment, &number), INGOT_E_NOT_FOUND, "'a'");
  CHECK_ERROR(ingot_attachment_read(model, 3, &text, sizeof text), INGOT_E_NOT_FOUND, "3");
  CHECK_ERROR(ingot_tensor_encoding(tensor, 1, 0, &encoding), INGOT_E_NOT_FOUND, "part 1");
  CHECK_ERROR(ingot_tensor_encoding(tensor, 0, 2, &encoding), INGOT_E_NOT_FOUND, "child 2");
  CHECK_ERROR(ingot_tensor_plane(tensor, UINT32_MAX, 0, 0, &plane), INGOT_E_NOT_FOUND, "part");
  CHECK_ERROR(ingot_tensor_plane(tensor, 0, UINT32_MAX, 0, &plane), INGOT_E_NOT_FOUND, "child");
  CHECK_ERROR(ingot_tensor_plane(tensor, 0, 0, 9, &plane), INGOT_E_NOT_FOUND, "plane 9");
  ingot_tensor_release(tensor);
}

/* A slice that is refused by everything that takes one. */
static void check_slice_refused(const ingot_tensor* tensor, uint64_t row, uint64_t rows, uint64_t column,
                                uint64_t columns) {
  static float values[96 * 200];
  ingot_slice slice;
  ingot_product product;
  memset(&product, 0, sizeof product);
  product.struct_size = sizeof product;
  product.x = product.y = values, product.x_rows = 1;
  slice.struct_size = sizeof slice;
  slice.row = row, slice.rows = rows, slice.column = column, slice.columns = columns;
  CHECK_ERROR(ingot_tensor_decode(tensor, &slice, INGOT_F32, values, sizeof values, 0), INGOT_E_ARGUMENT, "permuted");
  CHECK_ERROR(ingot_tensor_read(tensor, &slice, values, sizeof values, 0), INGOT_E_ARGUMENT, "permuted");
  CHECK_ERROR(ingot_tensor_verify(tensor, &slice), INGOT_E_ARGUMENT, "permuted");
  CHECK_ERROR(ingot_tensor_prefetch(tensor, &slice), INGOT_E_ARGUMENT, "permuted");
  CHECK_ERROR(ingot_tensor_multiply(tensor, &slice, &product), INGOT_E_ARGUMENT, "permuted");
}

static void test_slices(void) {
  ingot_tensor* tensor = check_tensor(model, "permuted"); /* 96 by 200 */
  static float values[96 * 200];
  ingot_slice slice = {0, 0, 0, 0, 0};
  CHECK_ERROR(ingot_tensor_verify(tensor, &slice), INGOT_E_ARGUMENT, "struct_size");
  slice.struct_size = sizeof slice + 1;
  CHECK_ERROR(ingot_tensor_verify(tensor, &slice), INGOT_E_ARGUMENT, "struct_size");
  check_slice_refused(tensor, 96, 0, 0, 0);
  check_slice_refused(tensor, 96, 1, 0, 0);
  check_slice_refused(tensor, 95, 2, 0, 0);
  check_slice_refused(tensor, 0, 97, 0, 0);
  check_slice_refused(tensor, UINT64_MAX, 1, 0, 0);
  check_slice_refused(tensor, 1, UINT64_MAX, 0, 0);
  check_slice_refused(tensor, UINT64_MAX, UINT64_MAX, 0, 0);
  check_slice_refused(tensor, 0, 0, 200, 0);
  check_slice_refused(tensor, 0, 0, 199, 2);
  check_slice_refused(tensor, 0, 0, 1, UINT64_MAX);
  check_slice_refused(tensor, 0, 0, UINT64_MAX, 2);
  slice.struct_size = sizeof slice, slice.row = 95, slice.column = 199;
  values[1] = 77;
  CHECK(ingot_tensor_decode(tensor, &slice, INGOT_F32, values, 4, 0) == INGOT_OK);
  CHECK(values[1] == 77);
  ingot_tensor_release(tensor);
}

static void test_buffers(void) {
  ingot_tensor* tensor = check_tensor(model, "permuted");
  ingot_tensor* numbers = check_tensor(model, "numbers");
  ingot_tensor* empty = check_tensor(model, "empty");
  static double memory[96 * 200 + 1];
  unsigned char* const odd = (unsigned char*)memory + 1;
  const size_t whole = 96 * 200 * sizeof(float);
  CHECK_ERROR(ingot_tensor_decode(tensor, NULL, INGOT_F32, NULL, whole, 0), INGOT_E_ARGUMENT, "out is NULL");
  CHECK_ERROR(ingot_tensor_decode(tensor, NULL, INGOT_F32, memory, whole - 1, 0), INGOT_E_ARGUMENT, "do not fit");
  CHECK_ERROR(ingot_tensor_decode(tensor, NULL, INGOT_F32, memory, 0, 0), INGOT_E_ARGUMENT, "do not fit");
  CHECK_ERROR(ingot_tensor_decode(tensor, NULL, INGOT_F16, memory, whole / 2 - 2, 0), INGOT_E_ARGUMENT, "do not fit");
  CHECK_ERROR(ingot_tensor_decode(tensor, NULL, INGOT_F32, odd, whole, 0), INGOT_E_ARGUMENT, "multiple of 4");
  CHECK_ERROR(ingot_tensor_decode(tensor, NULL, INGOT_BF16, odd, whole, 0), INGOT_E_ARGUMENT, "multiple of 2");
  CHECK_ERROR(ingot_tensor_decode(tensor, NULL, INGOT_F32, memory, whole, 199), INGOT_E_ARGUMENT, "stride");
  CHECK_ERROR(ingot_tensor_decode(tensor, NULL, INGOT_F32, memory, whole, 201), INGOT_E_ARGUMENT, "do not fit");
  CHECK_ERROR(ingot_tensor_decode(tensor, NULL, INGOT_F32, memory, SIZE_MAX, UINT64_MAX), INGOT_E_ARGUMENT, "fit");
  CHECK_ERROR(ingot_tensor_decode(tensor, NULL, INGOT_F32, memory, SIZE_MAX, UINT64_MAX / 95), INGOT_E_ARGUMENT, "fit");
  CHECK_ERROR(ingot_tensor_decode(tensor, NULL, INGOT_F64, memory, whole, 0), INGOT_E_ARGUMENT, "dtype");
  CHECK_ERROR(ingot_tensor_decode(tensor, NULL, (ingot_dtype)-1, memory, whole, 0), INGOT_E_ARGUMENT, "dtype");
  CHECK(ingot_tensor_decode(tensor, NULL, INGOT_F32, memory, whole, 0) == INGOT_OK);
  CHECK_ERROR(ingot_tensor_read(tensor, NULL, memory, whole, 0), INGOT_E_UNSUPPORTED, "'permuted'");
  CHECK_ERROR(ingot_tensor_read(numbers, NULL, memory, 60 * 8 - 1, 0), INGOT_E_ARGUMENT, "do not fit");
  CHECK_ERROR(ingot_tensor_read(numbers, NULL, odd, 60 * 8, 0), INGOT_E_ARGUMENT, "multiple of 8");
  CHECK_ERROR(ingot_tensor_read(numbers, NULL, NULL, 60 * 8, 0), INGOT_E_ARGUMENT, "out is NULL");
  CHECK_ERROR(ingot_tensor_decode(numbers, NULL, INGOT_F32, memory, 60 * 4, 0), INGOT_E_UNSUPPORTED, "I64");
  CHECK(ingot_tensor_read(numbers, NULL, memory, 60 * 8, 0) == INGOT_OK);
  CHECK(((int64_t*)memory)[59] == 58993);
  CHECK(ingot_tensor_decode(empty, NULL, INGOT_F32, NULL, 0, 0) == INGOT_OK);
  CHECK(ingot_tensor_read(empty, NULL, NULL, 0, 0) == INGOT_OK);
  ingot_tensor_release(tensor);
  ingot_tensor_release(numbers);
  ingot_tensor_release(empty);
}

static void test_product_arguments(void) {
  ingot_tensor* tensor = check_tensor(model, "permuted");
  ingot_tensor* numbers = check_tensor(model, "numbers");
  static float x[400], y[400];
  ingot_product good, p;
  memset(&good, 0, sizeof good);
  good.struct_size = sizeof good;
  good.x = x, good.x_rows = 1, good.y = y;
  CHECK(ingot_tensor_multiply(tensor, NULL, &good) == INGOT_OK);
  CHECK_ERROR(ingot_tensor_multiply(tensor, NULL, NULL), INGOT_E_ARGUMENT, "product is NULL");
  CHECK_ERROR(ingot_tensor_multiply(numbers, NULL, &good), INGOT_E_UNSUPPORTED, "'numbers'");
#define CHECK_REFUSED(change, word)                                                 \
  do {                                                                              \
    p = good;                                                                       \
    change;                                                                         \
    CHECK_ERROR(ingot_tensor_multiply(tensor, NULL, &p), INGOT_E_ARGUMENT, (word)); \
  } while (0)
  CHECK_REFUSED(p.struct_size = 8, "struct_size");
  CHECK_REFUSED(p.struct_size = sizeof p + 1, "struct_size");
  CHECK_REFUSED(p.precision = 4, "precision");
  CHECK_REFUSED(p.x_dtype = INGOT_F64, "x_dtype");
  CHECK_REFUSED(p.x = NULL, "x is NULL");
  CHECK_REFUSED(p.y = NULL, "y is NULL");
  CHECK_REFUSED(p.x = (const char*)x + 2, "x is not at a multiple of 4");
  CHECK_REFUSED((p.x = (const char*)x + 1, p.x_dtype = INGOT_F16), "x is not at a multiple of 2");
  CHECK_REFUSED(p.y = (float*)(void*)((char*)y + 1), "y is not at a multiple of 4");
  CHECK_REFUSED(p.x_stride = 199, "x_stride");
  CHECK_REFUSED(p.y_stride = 95, "y_stride");
  CHECK_REFUSED(p.add = 2, "add");
  CHECK_REFUSED(p.threshold = -1, "threshold");
  CHECK_REFUSED((p.x_rows = UINT64_MAX, p.x_stride = 1 << 20), "x:");
  CHECK_REFUSED((p.x_rows = 1 << 20, p.y_stride = UINT64_MAX / 2), "y:");
  p = good;
  p.x_rows = 0, p.x = NULL, p.y = NULL;
  CHECK(ingot_tensor_multiply(tensor, NULL, &p) == INGOT_OK);
  ingot_tensor_release(tensor);
  ingot_tensor_release(numbers);
}

int main(int argc, char** argv) {
  char path[4096];
  REQUIRE(argc == 2);
  snprintf(path, sizeof path, "%s/model.ingot", argv[1]);
  test_library();
  test_open(path);
  REQUIRE(ingot_model_open(path, NULL, &model) == INGOT_OK);
  test_handles();
  test_sizes();
  test_numbers();
  test_slices();
  test_buffers();
  test_product_arguments();
  ingot_model_release(model);
  return check_done("errors");
}

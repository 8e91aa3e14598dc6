/* What there is in a file, how long it lives, what is verified when, and damage. */
#include <math.h>
#include <unistd.h>

#include "check.h"

#define MIB ((uint64_t)1 << 20)
static char path[4096], damaged[4096], many[4096], copy[4096];

static ingot_model* open_with(const char* file, uint32_t access, uint32_t verify) {
  ingot_open_options options;
  ingot_model* model = NULL;
  memset(&options, 0, sizeof options);
  options.struct_size = sizeof options;
  options.access = access, options.verify = verify, options.threads = 2;
  REQUIRE(ingot_model_open(file, &options, &model) == INGOT_OK);
  return model;
}

static ingot_memory_info memory_of(const ingot_model* model) {
  ingot_memory_info info;
  info.struct_size = sizeof info;
  REQUIRE(ingot_model_memory(model, &info) == INGOT_OK);
  return info;
}

static int text_is(ingot_text text, const char* wanted) {
  return text.size == strlen(wanted) && memcmp(text.data, wanted, text.size) == 0;
}

static void test_contents(void) {
  ingot_model* model = open_with(path, INGOT_ACCESS_MAP, INGOT_VERIFY_LAZY);
  ingot_model_info info;
  ingot_metadata metadata;
  ingot_attachment attachment;
  uint32_t i, number = 0;
  char bytes[16];
  info.struct_size = sizeof info, metadata.struct_size = sizeof metadata, attachment.struct_size = sizeof attachment;
  CHECK(ingot_model_describe(model, &info) == INGOT_OK);
  CHECK(info.format_major == 0 && info.format_minor == 1);
  CHECK(info.file_count == 1 && info.tensor_count == 14 && info.metadata_count == 3 && info.attachment_count == 3);
  for (i = 1; i < info.tensor_count; ++i) { /* in the order of their names */
    ingot_text a, b;
    CHECK(ingot_tensor_name(model, i - 1, &a) == INGOT_OK && ingot_tensor_name(model, i, &b) == INGOT_OK);
    CHECK(memcmp(a.data, b.data, a.size < b.size ? a.size : b.size) <= 0);
  }
  CHECK(ingot_metadata_find(model, "answer", 6, &metadata) == INGOT_OK);
  CHECK(metadata.type == INGOT_META_I64 && metadata.size == 8 && metadata.count == 1);
  CHECK(((const signed char*)metadata.value)[0] == -42);
  CHECK(ingot_metadata_find(model, "words", 5, &metadata) == INGOT_OK);
  CHECK(metadata.type == INGOT_META_ARRAY && metadata.element_type == INGOT_META_STRING && metadata.count == 3);
  CHECK(ingot_metadata_at(model, 1, &metadata) == INGOT_OK && text_is(metadata.key, "author"));
  CHECK(metadata.size == 4 && memcmp(metadata.value, "Jane", 4) == 0);
  CHECK(ingot_attachment_find(model, "config.json", 11, &attachment, &number) == INGOT_OK);
  CHECK(attachment.size == 8 && number == 0);
  CHECK_ERROR(ingot_attachment_read(model, number, bytes, 7), INGOT_E_ARGUMENT, "7 bytes");
  CHECK(ingot_attachment_read(model, number, bytes, sizeof bytes) == INGOT_OK && memcmp(bytes, "{\"a\": 1}", 8) == 0);
  CHECK(ingot_attachment_find(model, "empty.txt", 9, &attachment, &number) == INGOT_OK && attachment.size == 0);
  CHECK(ingot_attachment_read(model, number, NULL, 0) == INGOT_OK);
  ingot_model_release(model);
}

static void test_tensors(void) {
  ingot_model* model = open_with(path, INGOT_ACCESS_MAP, INGOT_VERIFY_LAZY);
  ingot_tensor* experts = check_tensor(model, "experts");
  ingot_tensor* tied = check_tensor(model, "tied");
  ingot_tensor* scalar = check_tensor(model, "scalar");
  ingot_tensor* nested = check_tensor(model, "nested");
  ingot_tensor* linear = check_tensor(model, "linear");
  ingot_tensor_info info = check_describe(experts);
  ingot_encoding encoding;
  ingot_plane plane;
  encoding.struct_size = sizeof encoding, plane.struct_size = sizeof plane;
  CHECK(info.rank == 3 && info.axis == 0 && info.part_count == 4 && info.rows == 256 && info.columns == 320);
  CHECK(info.slice_rows == 1 && info.slice_columns == 64 && info.can_decode && info.can_multiply && !info.is_alias);
  CHECK(info.bits_per_weight > 5.5 && info.bits_per_weight < 6.5 && info.plane_bytes == info.stored_bytes);
  CHECK(text_is(info.name, "experts") && strncmp(info.encoding.data, "4 parts: linear 4-bit", 21) == 0);
  CHECK(ingot_tensor_encoding(experts, 3, 0, &encoding) == INGOT_OK);
  CHECK(encoding.kind == INGOT_KIND_LINEAR && encoding.bits == 7 && encoding.extent == 1 && encoding.rows == 64);
  CHECK(encoding.s.form == INGOT_ARRAY && encoding.s.dtype == INGOT_F16 && encoding.z.form == INGOT_CONSTANT);
  CHECK(encoding.z.constant == 64.0f && encoding.o.form == INGOT_ABSENT && encoding.plane_count == 4);
  CHECK(ingot_tensor_plane(experts, 3, 0, 0, &plane) == INGOT_OK);
  CHECK(plane.role == INGOT_ROLE_CODES && plane.field_width == 4 && plane.size == 64 * 320 / 2);
  CHECK(ingot_tensor_plane(experts, 3, 0, 3, &plane) == INGOT_OK);
  CHECK(plane.role == INGOT_ROLE_SCALES && plane.dtype == INGOT_F16 && plane.size == 64 * 5 * 2);
  CHECK(ingot_tensor_encoding(nested, 0, 0, &encoding) == INGOT_OK);
  CHECK(encoding.child_count == 1 && encoding.s.form == INGOT_NESTED && encoding.s.child == 1);
  CHECK(ingot_tensor_encoding(nested, 0, 1, &encoding) == INGOT_OK && encoding.kind == INGOT_KIND_LINEAR);
  CHECK(encoding.rows * encoding.columns == 64 * 16);
  CHECK(check_describe(tied).is_alias == 1 && check_describe(scalar).rows == 1 && check_describe(scalar).rank == 0);
  CHECK(check_describe(linear).dtype == INGOT_F16 && check_describe(linear).bits_per_weight == 4.125);
  ingot_tensor_release(experts);
  ingot_tensor_release(tied);
  ingot_tensor_release(scalar);
  ingot_tensor_release(nested);
  ingot_tensor_release(linear);
  ingot_model_release(model);
}

/* Foreign and unknown encodings: described, verified, their planes handed out; decoded by name never. */
static void test_not_decodable(void) {
  ingot_model* model = open_with(path, INGOT_ACCESS_MAP, INGOT_VERIFY_LAZY);
  ingot_tensor* tensors[2];
  int i;
  tensors[0] = check_tensor(model, "foreign");
  tensors[1] = check_tensor(model, "unknown");
  for (i = 0; i < 2; ++i) {
    const char* what = i == 0 ? "foreign test.BLOCK" : "unknown kind 77";
    float x[32] = {0}, y[256];
    ingot_product product;
    ingot_encoding encoding;
    ingot_plane plane;
    const ingot_tensor_info info = check_describe(tensors[i]);
    memset(&product, 0, sizeof product);
    product.struct_size = sizeof product, encoding.struct_size = sizeof encoding, plane.struct_size = sizeof plane;
    product.x = x, product.x_rows = 1, product.y = y;
    CHECK(!info.can_decode && !info.can_multiply && info.rows == 8 && info.columns == 32);
    CHECK(ingot_tensor_verify(tensors[i], NULL) == INGOT_OK);
    CHECK(ingot_tensor_prefetch(tensors[i], NULL) == INGOT_OK);
    CHECK_ERROR(ingot_tensor_decode(tensors[i], NULL, INGOT_F32, y, sizeof y, 0), INGOT_E_UNSUPPORTED, what);
    CHECK_ERROR(ingot_tensor_multiply(tensors[i], NULL, &product), INGOT_E_UNSUPPORTED, what);
    CHECK_ERROR(ingot_tensor_read(tensors[i], NULL, y, sizeof y, 0), INGOT_E_UNSUPPORTED, what);
    CHECK(ingot_tensor_encoding(tensors[i], 0, 0, &encoding) == INGOT_OK);
    CHECK(encoding.kind == (i == 0 ? INGOT_KIND_FOREIGN : 77));
    CHECK(i == 1 || (text_is(encoding.foreign_name, "test.BLOCK") && encoding.foreign_bytes == 18));
    CHECK(ingot_tensor_plane(tensors[i], 0, 0, encoding.plane_count - 1, &plane) == INGOT_OK);
    CHECK(plane.size == 144 && ((const char*)plane.data)[143] == 3);
    CHECK(plane.role == (i == 0 ? INGOT_ROLE_FOREIGN_BLOCKS : INGOT_ROLE_RAW));
    ingot_tensor_release(tensors[i]);
  }
  ingot_model_release(model);
}

/* Handles in any order: what a tensor needs lives as long as the tensor. */
static void test_lifetimes(void) {
  ingot_model* model = open_with(path, INGOT_ACCESS_COPY, INGOT_VERIFY_LAZY);
  ingot_tensor* tensor = check_tensor(model, "framed");
  const ingot_tensor_info info = check_describe(tensor);
  ingot_plane plane;
  float value = 0;
  const ingot_slice last = {sizeof last, 2047, 1, 639, 1};
  plane.struct_size = sizeof plane;
  CHECK(ingot_model_retain(model) == model);
  ingot_model_release(model);
  ingot_model_release(model);
  CHECK(ingot_tensor_retain(tensor) == tensor);
  ingot_tensor_release(tensor);
  CHECK(text_is(info.name, "framed") && strncmp(info.encoding.data, "raw F32", info.encoding.size) == 0);
  CHECK(ingot_tensor_plane(tensor, 0, 0, 0, &plane) == INGOT_OK && plane.compressed == 1);
  CHECK(ingot_tensor_decode(tensor, &last, INGOT_F32, &value, sizeof value, 0) == INGOT_OK);
  CHECK(value == ((const float*)plane.data)[2048 * 640 - 1]);
  CHECK(value == (float)((2048 * 640 - 1) % 1009) / 8.0f - 60.0f);
  ingot_tensor_release(tensor);
}

static int stop_at_once(void* user, uint64_t done, uint64_t total) {
  *(uint64_t*)user = total;
  return done <= total;
}

static void test_verification(void) {
  ingot_model* model = open_with(path, INGOT_ACCESS_MAP, INGOT_VERIFY_LAZY);
  ingot_tensor* tensor = check_tensor(model, "raw");
  static float values[640 * 2048];
  ingot_slice slice = {sizeof slice, 0, 100, 0, 0};
  uint64_t total = 0;
  CHECK(memory_of(model).verified_bytes == 0);
  CHECK(ingot_tensor_decode(tensor, &slice, INGOT_F32, values, sizeof values, 0) == INGOT_OK);
  CHECK(memory_of(model).verified_bytes == MIB);
  CHECK(ingot_tensor_decode(tensor, &slice, INGOT_F32, values, sizeof values, 0) == INGOT_OK);
  CHECK(memory_of(model).verified_bytes == MIB);
  slice.row = 2047, slice.rows = 1;
  CHECK(ingot_tensor_verify(tensor, &slice) == INGOT_OK);
  CHECK(memory_of(model).verified_bytes == 2 * MIB);
  CHECK_ERROR(ingot_model_verify(model, stop_at_once, &total), INGOT_E_ARGUMENT, "interrupted");
  CHECK(total > 9 * MIB);
  CHECK(ingot_model_verify(model, NULL, NULL) == INGOT_OK);
  CHECK(memory_of(model).verified_bytes >= total);
  CHECK(memory_of(model).mapped_bytes > total / 2 && memory_of(model).cache_limit == 256 * MIB);
  ingot_tensor_release(tensor);
  ingot_model_release(model);
}

static void check_damage(uint32_t access) {
  ingot_model* model = open_with(damaged, access, INGOT_VERIFY_LAZY);
  ingot_tensor* raw = check_tensor(model, "raw");
  ingot_tensor* linear = check_tensor(model, "linear");
  ingot_tensor* good = check_tensor(model, "experts");
  static float values[640 * 2048], x[3072], y[2048];
  static char notes[3 << 20];
  const ingot_slice before = {sizeof before, 0, 819, 0, 0}, at = {sizeof at, 820, 1, 0, 1};
  ingot_product product;
  ingot_plane plane;
  ingot_attachment attachment;
  uint32_t number;
  memset(&product, 0, sizeof product);
  product.struct_size = sizeof product, plane.struct_size = sizeof plane, attachment.struct_size = sizeof attachment;
  product.x = x, product.x_rows = 1, product.y = y;
  CHECK(ingot_tensor_decode(raw, &before, INGOT_F32, values, sizeof values, 0) == INGOT_OK);
  CHECK_ERROR(ingot_tensor_decode(raw, &at, INGOT_F32, values, 4, 0), INGOT_E_DATA, "R-CHK-1");
  CHECK(strstr(ingot_error_text(), "tensor 'raw'") != NULL && strstr(ingot_error_text(), "chunk 2") != NULL);
  CHECK(strstr(ingot_error_text(), "damaged.ingot") != NULL);
  CHECK_ERROR(ingot_tensor_read(raw, NULL, values, sizeof values, 0), INGOT_E_DATA, "R-CHK-1");
  CHECK_ERROR(ingot_tensor_verify(raw, &at), INGOT_E_DATA, "R-CHK-1");
  CHECK_ERROR(ingot_tensor_plane(raw, 0, 0, 0, &plane), INGOT_E_DATA, "R-CHK-1");
  CHECK_ERROR(ingot_tensor_multiply(linear, NULL, &product), INGOT_E_DATA, "tensor 'linear'");
  CHECK(ingot_attachment_find(model, "notes.txt", 9, &attachment, &number) == INGOT_OK);
  CHECK_ERROR(ingot_attachment_read(model, number, notes, sizeof notes), INGOT_E_DATA, "attachment 'notes.txt'");
  CHECK_ERROR(ingot_model_verify(model, NULL, NULL), INGOT_E_DATA, "R-CHK-1");
  CHECK(ingot_tensor_multiply(good, NULL, &product) == INGOT_OK);
  CHECK(ingot_tensor_decode(raw, &before, INGOT_F32, values, sizeof values, 0) == INGOT_OK);
  ingot_tensor_release(raw);
  ingot_tensor_release(linear);
  ingot_tensor_release(good);
  ingot_model_release(model);
}

static void test_damage(void) {
  ingot_open_options options;
  ingot_model* model = NULL;
  ingot_tensor* raw;
  float value = 0;
  const ingot_slice at = {sizeof at, 820, 1, 0, 1};
  check_damage(INGOT_ACCESS_MAP);
  check_damage(INGOT_ACCESS_COPY);
  memset(&options, 0, sizeof options);
  options.struct_size = sizeof options;
  options.verify = INGOT_VERIFY_OPEN;
  CHECK_ERROR(ingot_model_open(damaged, &options, &model), INGOT_E_DATA, "R-CHK-1");
  CHECK(model == NULL);
  model = open_with(damaged, INGOT_ACCESS_MAP, INGOT_VERIFY_OFF); /* asked for */
  raw = check_tensor(model, "raw");
  CHECK(ingot_tensor_decode(raw, &at, INGOT_F32, &value, 4, 0) == INGOT_OK);
  CHECK_ERROR(ingot_tensor_verify(raw, &at), INGOT_E_DATA, "R-CHK-1");
  ingot_tensor_release(raw);
  ingot_model_release(model);
}

/* The safe mode: somebody cuts the file off while it is in use. */
static void test_truncation(void) {
  ingot_model* model;
  ingot_tensor *raw, *linear, *framed, *permuted = NULL;
  static float values[640 * 2048];
  static char command[16384];
  const ingot_slice first = {sizeof first, 0, 100, 0, 0};
  ingot_plane plane;
  uint32_t number = 0;
  char bytes[16];
  snprintf(command, sizeof command, "cp '%s' '%s'", path, copy);
  REQUIRE(system(command) == 0);
  model = open_with(copy, INGOT_ACCESS_COPY, INGOT_VERIFY_LAZY);
  plane.struct_size = sizeof plane;
  CHECK(memory_of(model).mapped_bytes == 0 && memory_of(model).resident_bytes == 0);
  raw = check_tensor(model, "raw");
  linear = check_tensor(model, "linear");
  framed = check_tensor(model, "framed");
  CHECK(ingot_tensor_decode(raw, &first, INGOT_F32, values, sizeof values, 0) == INGOT_OK);
  CHECK(memory_of(model).private_bytes >= MIB);
  REQUIRE(truncate(copy, 8192) == 0);
  CHECK(ingot_tensor_decode(raw, &first, INGOT_F32, values, sizeof values, 0) == INGOT_OK);
  CHECK(values[1] == 0.125f - 60.0f);
  CHECK_ERROR(ingot_tensor_decode(raw, NULL, INGOT_F32, values, sizeof values, 0), INGOT_E_IO, "truncated");
  CHECK_ERROR(ingot_tensor_decode(linear, &first, INGOT_F32, values, sizeof values, 0), INGOT_E_IO, "truncated");
  CHECK_ERROR(ingot_tensor_decode(framed, &first, INGOT_F32, values, sizeof values, 0), INGOT_E_IO, "truncated");
  CHECK_ERROR(ingot_tensor_plane(linear, 0, 0, 0, &plane), INGOT_E_IO, "truncated");
  CHECK_ERROR(ingot_attachment_read(model, 0, bytes, sizeof bytes), INGOT_E_IO, "truncated");
  CHECK_ERROR(ingot_model_verify(model, NULL, NULL), INGOT_E_IO, "truncated");
  CHECK(ingot_tensor_find(model, "permuted", 8, &number) == INGOT_OK);
  CHECK_ERROR(ingot_tensor_open(model, number, &permuted), INGOT_E_IO, "truncated");
  CHECK(permuted == NULL && ingot_tensor_prefetch(raw, NULL) == INGOT_OK);
  ingot_tensor_release(raw);
  ingot_tensor_release(linear);
  ingot_tensor_release(framed);
  ingot_model_release(model);
  CHECK_ERROR(ingot_model_open(copy, NULL, &model), INGOT_E_DATA, "R-FILE-2");
}

static void test_environment(void) {
  ingot_model* model;
  setenv("INGOT_NO_MMAP", "1", 1);
  model = open_with(path, INGOT_ACCESS_MAP, INGOT_VERIFY_LAZY);
  CHECK(memory_of(model).mapped_bytes == 0);
  ingot_model_release(model);
  unsetenv("INGOT_NO_MMAP");
}

static void test_many(void) {
  ingot_model* model = open_with(many, INGOT_ACCESS_MAP, INGOT_VERIFY_LAZY);
  static ingot_tensor* tensors[3000];
  uint32_t i;
  for (i = 0; i < 3000; ++i) REQUIRE(ingot_tensor_open(model, i, &tensors[i]) == INGOT_OK);
  for (i = 0; i < 3000; ++i) {
    float values[16];
    CHECK(ingot_tensor_decode(tensors[i], NULL, INGOT_F32, values, sizeof values, 0) == INGOT_OK);
    CHECK(values[15] == (float)(i * 16 + 15));
    ingot_tensor_release(tensors[i]);
  }
  ingot_model_release(model);
}

int main(int argc, char** argv) {
  REQUIRE(argc == 2);
  snprintf(path, sizeof path, "%s/model.ingot", argv[1]);
  snprintf(damaged, sizeof damaged, "%s/damaged.ingot", argv[1]);
  snprintf(many, sizeof many, "%s/many.ingot", argv[1]);
  snprintf(copy, sizeof copy, "%s/copy.ingot", argv[1]);
  test_contents();
  test_tensors();
  test_not_decodable();
  test_lifetimes();
  test_verification();
  test_damage();
  test_truncation();
  test_environment();
  test_many();
  return check_done("model");
}

/* Writes down everything that the C interface says about a file, for the comparison with the spec's reader:
 *   abi_dump FILE FOLDER [copy] [off|open] [threads N]
 * Standard output has a line for each thing, texts in hexadecimal; FOLDER gets N.f32, N.f16, N.bf16 and N.raw of tensor
 * N. Each decoded tensor is also decoded in slices at random, which have to be the same bytes. */
#include "check.h"

static uint64_t state = 88172645463325252u;
static uint64_t below(uint64_t n) {
  state ^= state << 13, state ^= state >> 7, state ^= state << 17;
  return n == 0 ? 0 : state % n;
}

static void print_hex(const void* bytes, uint64_t size) {
  uint64_t i;
  for (i = 0; i < size; ++i) printf("%02x", ((const unsigned char*)bytes)[i]);
  if (size == 0) printf("-");
}

static void write_file(const char* folder, uint32_t number, const char* ending, const void* bytes, size_t size) {
  char path[4096];
  FILE* file;
  snprintf(path, sizeof path, "%s/%u.%s", folder, (unsigned)number, ending);
  file = fopen(path, "wb");
  REQUIRE(file != NULL);
  REQUIRE(fwrite(bytes, 1, size, file) == size);
  REQUIRE(fclose(file) == 0);
}

/* Slices at random, with strides, against the whole. NaN payloads may not differ either: the kernels are the same. */
static void check_slices(const ingot_tensor* tensor, const ingot_tensor_info* info, ingot_dtype dtype, size_t size,
                         const unsigned char* whole, int raw) {
  int round;
  for (round = 0; round < 12 && info->rows > 0 && info->columns > 0; ++round) {
    ingot_slice slice;
    uint64_t stride, i;
    size_t bytes;
    unsigned char* out;
    slice.struct_size = sizeof slice;
    slice.row = below(info->rows), slice.rows = below(info->rows - slice.row + 1);
    slice.column = below(info->columns), slice.columns = below(info->columns - slice.column + 1);
    const uint64_t rows = slice.rows == 0 ? info->rows - slice.row : slice.rows;
    const uint64_t columns = slice.columns == 0 ? info->columns - slice.column : slice.columns;
    stride = columns + below(3) * below(20);
    bytes = (size_t)(((rows - 1) * stride + columns) * size);
    out = malloc(bytes);
    REQUIRE(out != NULL);
    memset(out, 0xA5, bytes);
    CHECK((raw ? ingot_tensor_read(tensor, &slice, out, bytes, stride)
               : ingot_tensor_decode(tensor, &slice, dtype, out, bytes, stride)) == INGOT_OK);
    for (i = 0; i < rows; ++i) {
      const unsigned char* wanted = whole + ((slice.row + i) * info->columns + slice.column) * size;
      uint64_t j;
      if (memcmp(out + i * stride * size, wanted, columns * size) != 0) {
        CHECK(!"a slice has the bytes of the whole");
        break;
      }
      for (j = (i * stride + columns) * size; i + 1 < rows && j < (i + 1) * stride * size; ++j) {
        if (out[j] != 0xA5) {
          CHECK(!"what lies between rows is left alone");
          break;
        }
      }
    }
    free(out);
  }
}

static void dump_values(const char* folder, const ingot_tensor* tensor, const ingot_tensor_info* info) {
  static const char* const kEndings[] = {"f32", "f16", "bf16"};
  static const size_t kSizes[] = {4, 2, 2};
  static const size_t kDtypeSizes[] = {4, 2, 2, 8, 1, 1, 8, 4, 2, 1, 8, 4, 2, 1, 1, 8, 1, 1, 1};
  const uint64_t count = info->rows * info->columns;
  void* out;
  int type;
  if (count > (uint64_t)1 << 28) { /* claimed by an encoding that nobody knows */
    float value;
    ingot_slice slice = {sizeof slice, 0, 1, 0, 1};
    CHECK(!info->can_decode);
    CHECK(ingot_tensor_decode(tensor, &slice, INGOT_F32, &value, sizeof value, 0) == INGOT_E_UNSUPPORTED);
    printf("refused %s\n", ingot_error_text());
    return;
  }
  out = malloc((size_t)count * 8 + 1);
  REQUIRE(out != NULL);
  for (type = 0; type < 3; ++type) {
    const size_t bytes = (size_t)count * kSizes[type];
    const ingot_status status = ingot_tensor_decode(tensor, NULL, (ingot_dtype)type, out, bytes, 0);
    CHECK(status == (info->can_decode ? INGOT_OK : INGOT_E_UNSUPPORTED));
    if (status != INGOT_OK) {
      printf("refused %s\n", ingot_error_text());
      break;
    }
    write_file(folder, info->number, kEndings[type], out, bytes);
    check_slices(tensor, info, (ingot_dtype)type, kSizes[type], out, 0);
  }
  const size_t size = kDtypeSizes[info->dtype];
  if (ingot_tensor_read(tensor, NULL, out, (size_t)count * size, 0) == INGOT_OK) {
    write_file(folder, info->number, "raw", out, (size_t)count * size);
    check_slices(tensor, info, INGOT_F32, size, out, 1);
  }
  free(out);
}

static void dump_planes(const ingot_tensor* tensor, const ingot_tensor_info* info) {
  uint32_t part, child, number;
  uint64_t sum = 0;
  for (part = 0; part < info->part_count; ++part) {
    ingot_encoding encoding;
    uint32_t children = 0;
    for (child = 0; child <= children; ++child) {
      encoding.struct_size = sizeof encoding;
      REQUIRE(ingot_tensor_encoding(tensor, part, child, &encoding) == INGOT_OK);
      if (child == 0) children = encoding.child_count;
      printf("encoding %u %u %u %u %u\n", (unsigned)part, (unsigned)child, (unsigned)encoding.kind,
             (unsigned)encoding.plane_count, (unsigned)encoding.bits);
      for (number = 0; number < encoding.plane_count; ++number) {
        ingot_plane plane;
        plane.struct_size = sizeof plane;
        REQUIRE(ingot_tensor_plane(tensor, part, child, number, &plane) == INGOT_OK);
        CHECK((uintptr_t)plane.data % 64 == 0);
        printf("plane %u %u ", (unsigned)plane.role, (unsigned)plane.dtype);
        print_hex(plane.data, plane.size < 64 ? plane.size : 64);
        printf(" %llu\n", (unsigned long long)plane.size);
        sum += plane.size;
      }
    }
  }
  CHECK(sum == info->plane_bytes);
}

static void dump_tensor(ingot_model* model, uint32_t number, const char* folder) {
  ingot_tensor* tensor = NULL;
  ingot_tensor_info info;
  ingot_text name;
  uint32_t i, found = 0;
  REQUIRE(ingot_tensor_open(model, number, &tensor) == INGOT_OK);
  info = check_describe(tensor);
  REQUIRE(ingot_tensor_name(model, number, &name) == INGOT_OK);
  CHECK(name.size == info.name.size && memcmp(name.data, info.name.data, name.size) == 0);
  CHECK(ingot_tensor_find(model, name.data, name.size, &found) == INGOT_OK && found == number);
  printf("tensor %u ", (unsigned)number);
  print_hex(info.name.data, info.name.size);
  printf(" %u %u %u %u", (unsigned)info.dtype, (unsigned)info.can_decode, (unsigned)info.is_alias, (unsigned)info.rank);
  for (i = 0; i < info.rank; ++i) printf(" %llu", (unsigned long long)info.dims[i]);
  printf("\n");
  CHECK(ingot_tensor_prefetch(tensor, NULL) == INGOT_OK);
  CHECK(ingot_tensor_verify(tensor, NULL) == INGOT_OK);
  dump_values(folder, tensor, &info);
  dump_planes(tensor, &info);
  ingot_tensor_release(tensor);
}

static void dump_extras(const ingot_model* model, const ingot_model_info* info) {
  uint32_t i;
  for (i = 0; i < info->metadata_count; ++i) {
    ingot_metadata entry;
    entry.struct_size = sizeof entry;
    REQUIRE(ingot_metadata_at(model, i, &entry) == INGOT_OK);
    printf("metadata ");
    print_hex(entry.key.data, entry.key.size);
    printf(" %u %u %llu ", (unsigned)entry.type, (unsigned)entry.element_type, (unsigned long long)entry.count);
    print_hex(entry.value, entry.size);
    printf("\n");
  }
  for (i = 0; i < info->attachment_count; ++i) {
    ingot_attachment entry, again;
    uint32_t number = 0;
    void* bytes;
    entry.struct_size = again.struct_size = sizeof entry;
    REQUIRE(ingot_attachment_at(model, i, &entry) == INGOT_OK);
    CHECK(ingot_attachment_find(model, entry.name.data, entry.name.size, &again, &number) == INGOT_OK);
    CHECK(number == i && again.size == entry.size);
    bytes = malloc((size_t)entry.size + 1);
    REQUIRE(bytes != NULL && ingot_attachment_read(model, i, bytes, (size_t)entry.size) == INGOT_OK);
    printf("attachment ");
    print_hex(entry.name.data, entry.name.size);
    printf(" ");
    print_hex(bytes, entry.size);
    printf("\n");
    free(bytes);
  }
}

int main(int argc, char** argv) {
  ingot_open_options options;
  ingot_model* model = NULL;
  ingot_model_info info;
  int i;
  uint32_t number;
  if (argc < 3) return 2;
  memset(&options, 0, sizeof options);
  options.struct_size = sizeof options;
  for (i = 3; i < argc; ++i) {
    if (strcmp(argv[i], "copy") == 0) options.access = INGOT_ACCESS_COPY;
    if (strcmp(argv[i], "off") == 0) options.verify = INGOT_VERIFY_OFF;
    if (strcmp(argv[i], "open") == 0) options.verify = INGOT_VERIFY_OPEN;
    if (strcmp(argv[i], "small") == 0) options.cache_bytes = 1;
    if (strcmp(argv[i], "one") == 0) options.threads = 1;
  }
  REQUIRE(ingot_model_open(argv[1], &options, &model) == INGOT_OK);
  info.struct_size = sizeof info;
  REQUIRE(ingot_model_describe(model, &info) == INGOT_OK);
  printf("model %u %u ", (unsigned)info.file_count, (unsigned)info.tensor_count);
  print_hex(info.content_digest, sizeof info.content_digest);
  printf("\n");
  dump_extras(model, &info);
  for (number = 0; number < info.tensor_count; ++number) dump_tensor(model, number, argv[2]);
  ingot_model_release(model);
  fprintf(stderr, "%d checks, %d failed\n", check_count, check_failures);
  return check_failures == 0 ? 0 : 1;
}

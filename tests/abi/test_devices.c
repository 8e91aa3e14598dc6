/* What the part for devices says where there is no GPU, and to wrong arguments: an error code with a reason, and
 * everything else goes on. Passes in builds with and without CUDA, with and without a driver or a GPU; where there is
 * one, it is described, gets a tensor, and gives it back. */
#include "check.h"

static void* give_none(void* user, uint64_t size, uint64_t alignment) {
  (void)size, (void)alignment;
  ++*(int*)user;
  return NULL;
}
static void take_back(void* user, void* at, uint64_t size) { (void)user, (void)at, (void)size; }

/* How many GPUs there are. */
static uint32_t test_count(void) {
  uint32_t count = 4711;
  const ingot_status status = ingot_device_count(&count);
  CHECK_ERROR(ingot_device_count(NULL), INGOT_E_ARGUMENT, "out is NULL");
  if (status == INGOT_OK) {
    CHECK(count != 4711);
    return count;
  }
  CHECK(status == INGOT_E_UNSUPPORTED);
  CHECK(count == 4711);
  CHECK_ERROR(ingot_device_count(&count), INGOT_E_UNSUPPORTED, "CUDA");
  printf("no GPU: %s\n", ingot_error_text());
  return 0;
}

static void test_open(uint32_t count) {
  static int user;
  ingot_device_options options;
  ingot_device* device = (ingot_device*)&options;
  memset(&options, 0, sizeof options);
  CHECK_ERROR(ingot_device_open(0, NULL, NULL), INGOT_E_ARGUMENT, "out is NULL");
  CHECK_ERROR(ingot_device_open(0, &options, &device), INGOT_E_ARGUMENT, "struct_size");
  options.struct_size = sizeof options + 1;
  CHECK_ERROR(ingot_device_open(0, &options, &device), INGOT_E_ARGUMENT, "struct_size");
  options.struct_size = sizeof options;
  options.threads = 1025;
  CHECK_ERROR(ingot_device_open(0, &options, &device), INGOT_E_ARGUMENT, "threads");
  options.threads = 0, options.streams = 65;
  CHECK_ERROR(ingot_device_open(0, &options, &device), INGOT_E_ARGUMENT, "streams");
  options.streams = 0, options.user = &user, options.allocate = give_none;
  CHECK_ERROR(ingot_device_open(0, &options, &device), INGOT_E_ARGUMENT, "release");
  options.allocate = NULL, options.release = take_back;
  CHECK_ERROR(ingot_device_open(0, &options, &device), INGOT_E_ARGUMENT, "release");
  CHECK_ERROR(ingot_device_open(count, NULL, &device), INGOT_E_UNSUPPORTED, "CUDA");
  CHECK_ERROR(ingot_device_open(1000000, NULL, &device), INGOT_E_UNSUPPORTED, "CUDA");
  CHECK_ERROR(ingot_device_open(UINT32_MAX, NULL, &device), INGOT_E_UNSUPPORTED, "CUDA");
  CHECK(device == (ingot_device*)&options);
}

static void test_handles(ingot_model* model) {
  ingot_device_info info;
  ingot_upload upload;
  ingot_device_tensor* out;
  ingot_device_tensor_info tensor;
  ingot_device_plane plane;
  ingot_device_product product;
  size_t size;
  memset(&upload, 0, sizeof upload);
  upload.struct_size = sizeof upload, info.struct_size = sizeof info, tensor.struct_size = sizeof tensor;
  plane.struct_size = sizeof plane;
  memset(&product, 0, sizeof product);
  product.struct_size = sizeof product;
  CHECK(ingot_device_retain(NULL) == NULL);
  CHECK(ingot_device_tensor_retain(NULL) == NULL);
  ingot_device_release(NULL);
  ingot_device_tensor_release(NULL);
  CHECK_ERROR(ingot_device_describe(NULL, &info), INGOT_E_ARGUMENT, "device is NULL");
  CHECK_ERROR(ingot_device_wait(NULL, NULL), INGOT_E_ARGUMENT, "device is NULL");
  CHECK_ERROR(ingot_device_upload(NULL, model, &upload, 1, NULL, &out), INGOT_E_ARGUMENT, "device is NULL");
  CHECK_ERROR(ingot_device_tensor_describe(NULL, &tensor), INGOT_E_ARGUMENT, "tensor is NULL");
  CHECK_ERROR(ingot_device_tensor_plane(NULL, 0, 0, 0, &plane), INGOT_E_ARGUMENT, "tensor is NULL");
  CHECK_ERROR(ingot_device_tensor_decode(NULL, NULL, INGOT_F32, &size, 4, 0, NULL), INGOT_E_ARGUMENT, "tensor is NULL");
  CHECK_ERROR(ingot_device_product_scratch(NULL, NULL, &product, &size), INGOT_E_ARGUMENT, "tensor is NULL");
  CHECK_ERROR(ingot_device_tensor_multiply(NULL, NULL, &product, NULL), INGOT_E_ARGUMENT, "tensor is NULL");
}

/* The CPU does what it did, whatever was said of GPUs. */
static void test_cpu(ingot_model* model) {
  static float values[96 * 200];
  ingot_tensor* tensor = check_tensor(model, "permuted");
  CHECK(ingot_tensor_decode(tensor, NULL, INGOT_F32, values, sizeof values, 0) == INGOT_OK);
  ingot_tensor_release(tensor);
}

/* On a GPU that is there. */
static void test_gpu(ingot_model* model, uint32_t number) {
  ingot_device* device;
  ingot_device_info info;
  ingot_device_tensor* tensor;
  ingot_device_tensor_info of;
  ingot_upload upload;
  memset(&upload, 0, sizeof upload);
  upload.struct_size = sizeof upload, info.struct_size = sizeof info, of.struct_size = sizeof of;
  if (ingot_device_open(number, NULL, &device) != INGOT_OK) {
    printf("GPU %u: %s\n", (unsigned)number, ingot_error_text());
    return;
  }
  CHECK(ingot_device_describe(device, &info) == INGOT_OK);
  CHECK(info.number == number && info.architecture >= 75 && info.multiprocessors > 0 && info.name.size > 0);
  CHECK(info.free_bytes <= info.memory_bytes);
  printf("GPU %u: %.*s\n", (unsigned)number, (int)info.name.size, info.name.data);
  REQUIRE(ingot_device_upload(device, model, &upload, 1, NULL, &tensor) == INGOT_OK);
  ingot_device_release(device);
  CHECK(ingot_device_tensor_describe(tensor, &of) == INGOT_OK);
  CHECK(of.memory_bytes > 0);
  ingot_device_tensor_release(tensor);
}

int main(int argc, char** argv) {
  char path[4096];
  ingot_model* model;
  uint32_t count, i;
  REQUIRE(argc == 2);
  snprintf(path, sizeof path, "%s/model.ingot", argv[1]);
  REQUIRE(ingot_model_open(path, NULL, &model) == INGOT_OK);
  count = test_count();
  test_open(count);
  test_handles(model);
  test_cpu(model);
  for (i = 0; i < count; ++i) test_gpu(model, i);
  ingot_model_release(model);
  return check_done("devices");
}

/* Many threads on one model and one tensor: the same values as alone, the texts of errors each thread's own. */
#include <pthread.h>

#include "check.h"

#define THREADS 8
static ingot_model* model;
static ingot_tensor* shared;
static float* alone;
static int rounds = 30;

struct work {
  pthread_t thread;
  unsigned seed;
  int failures;
};

static uint64_t next(unsigned* seed) { return *seed = *seed * 1103515245u + 12345u, (*seed >> 8) & 0xFFFF; }

/* Rows of "framed" or "raw" (the same values), by a handle of its own or the shared one. */
static int decode_some(unsigned* seed, float* out) {
  const uint64_t row = next(seed) % 2048, count = 1 + next(seed) % (2048 - row);
  ingot_slice slice = {sizeof slice, row, count, 0, 0};
  ingot_tensor* tensor = ingot_tensor_retain(shared);
  int wrong = 0;
  if (next(seed) % 2) {
    uint32_t number = 0;
    ingot_tensor_release(tensor);
    if (ingot_tensor_find(model, "raw", 3, &number) != INGOT_OK) return 1;
    if (ingot_tensor_open(model, number, &tensor) != INGOT_OK) return 1;
  }
  wrong += ingot_tensor_prefetch(tensor, &slice) != INGOT_OK;
  wrong += ingot_tensor_decode(tensor, &slice, INGOT_F32, out, count * 640 * sizeof *out, 0) != INGOT_OK;
  wrong += memcmp(out, alone + row * 640, count * 640 * sizeof *out) != 0;
  ingot_tensor_release(tensor);
  return wrong;
}

static int multiply_some(unsigned* seed) {
  static const float x[640] = {1.0f};
  float y[64];
  const uint64_t row = next(seed) % (2048 - 64);
  ingot_slice slice = {sizeof slice, row, 64, 0, 0};
  ingot_product p;
  int i, wrong = 0;
  memset(&p, 0, sizeof p);
  p.struct_size = sizeof p;
  p.x = x, p.x_rows = 1, p.y = y;
  wrong += ingot_tensor_multiply(shared, &slice, &p) != INGOT_OK;
  for (i = 0; i < 64; ++i) wrong += y[i] != alone[(row + (uint64_t)i) * 640];
  return wrong;
}

static int fail_some(unsigned* seed) {
  char name[32], quoted[40];
  uint32_t number;
  int size = snprintf(name, sizeof name, "none%u", *seed);
  snprintf(quoted, sizeof quoted, "'%s'", name);
  if (ingot_tensor_find(model, name, (size_t)size, &number) != INGOT_E_NOT_FOUND) return 1;
  return strstr(ingot_error_text(), quoted) == NULL;
}

static void* run(void* argument) {
  struct work* work = argument;
  unsigned seed = work->seed;
  float* out = malloc(2048 * 640 * sizeof *out);
  int i;
  for (i = 0; i < rounds && out != NULL; ++i) {
    ingot_memory_info memory;
    memory.struct_size = sizeof memory;
    work->failures += decode_some(&seed, out) + multiply_some(&seed) + fail_some(&seed);
    work->failures += ingot_model_memory(model, &memory) != INGOT_OK;
    if (i % 10 == 3) work->failures += ingot_model_verify(model, NULL, NULL) != INGOT_OK;
  }
  work->failures += out == NULL;
  free(out);
  return NULL;
}

int main(int argc, char** argv) {
  static const uint64_t kLimits[] = {1, (uint64_t)2 << 20, 0};
  char path[4096];
  int mode;
  REQUIRE(argc == 2);
  if (getenv("INGOT_QUICK") != NULL) rounds = 10;
  snprintf(path, sizeof path, "%s/model.ingot", argv[1]);
  alone = malloc(2048 * 640 * sizeof *alone);
  REQUIRE(alone != NULL);
  for (mode = 0; mode < 6; ++mode) {
    struct work work[THREADS];
    ingot_open_options options;
    ingot_model* reference = NULL;
    ingot_tensor* tensor;
    int i;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    REQUIRE(ingot_model_open(path, NULL, &reference) == INGOT_OK);
    tensor = check_tensor(reference, "raw");
    REQUIRE(ingot_tensor_decode(tensor, NULL, INGOT_F32, alone, 2048 * 640 * sizeof *alone, 0) == INGOT_OK);
    ingot_tensor_release(tensor);
    ingot_model_release(reference);
    options.access = mode % 2 == 0 ? INGOT_ACCESS_MAP : INGOT_ACCESS_COPY;
    options.cache_bytes = kLimits[mode % 3], options.threads = (uint32_t)(mode % 3);
    REQUIRE(ingot_model_open(path, &options, &model) == INGOT_OK);
    shared = check_tensor(model, "framed");
    for (i = 0; i < THREADS; ++i) {
      work[i].seed = (unsigned)(mode * 100 + i), work[i].failures = 0;
      REQUIRE(pthread_create(&work[i].thread, NULL, run, &work[i]) == 0);
    }
    for (i = 0; i < THREADS; ++i) {
      REQUIRE(pthread_join(work[i].thread, NULL) == 0);
      CHECK(work[i].failures == 0);
    }
    ingot_model_release(model); /* before its tensor */
    ingot_tensor_release(shared);
  }
  free(alone);
  return check_done("threads");
}

/* What the tests of the C interface share: a check that says what failed and where, and counts. */
#ifndef INGOT_TESTS_ABI_CHECK_H_
#define INGOT_TESTS_ABI_CHECK_H_

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/ingot.h"

static int check_failures = 0;
static int check_count = 0;

#define CHECK(condition)                                                                                           \
  do {                                                                                                             \
    ++check_count;                                                                                                 \
    if (!(condition)) {                                                                                            \
      ++check_failures;                                                                                            \
      fprintf(stderr, "%s:%d: failed: %s (last error: %s)\n", __FILE__, __LINE__, #condition, ingot_error_text()); \
    }                                                                                                              \
  } while (0)

/* As CHECK, for what the rest of a test cannot do without. */
#define REQUIRE(condition)                                                                                         \
  do {                                                                                                             \
    ++check_count;                                                                                                 \
    if (!(condition)) {                                                                                            \
      fprintf(stderr, "%s:%d: failed: %s (last error: %s)\n", __FILE__, __LINE__, #condition, ingot_error_text()); \
      exit(1);                                                                                                     \
    }                                                                                                              \
  } while (0)

/* A status, and a word that the text of the error has to have. */
#define CHECK_ERROR(call, status, word)                \
  do {                                                 \
    const ingot_status check_status = (call);          \
    CHECK(check_status == (status));                   \
    CHECK(strstr(ingot_error_text(), (word)) != NULL); \
  } while (0)

static inline int check_done(const char* name) {
  printf("%s: %d checks, %d failed\n", name, check_count, check_failures);
  return check_failures == 0 ? 0 : 1;
}

/* The tensor of that name. */
static inline ingot_tensor* check_tensor(ingot_model* model, const char* name) {
  uint32_t number = 0;
  ingot_tensor* tensor = NULL;
  REQUIRE(ingot_tensor_find(model, name, strlen(name), &number) == INGOT_OK);
  REQUIRE(ingot_tensor_open(model, number, &tensor) == INGOT_OK);
  return tensor;
}

static inline ingot_tensor_info check_describe(const ingot_tensor* tensor) {
  ingot_tensor_info info;
  info.struct_size = sizeof info;
  REQUIRE(ingot_tensor_describe(tensor, &info) == INGOT_OK);
  return info;
}

#endif

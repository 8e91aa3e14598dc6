/* Products against sums in double precision of what the same tensor decodes to, within the bounds that ingot.h states.
 */
#include <math.h>

#include "check.h"

static ingot_model* model;
static uint64_t state = 2463534242u;
static float uniform(void) {
  state ^= state << 13, state ^= state >> 7, state ^= state << 17;
  return (float)(state % 4001) / 2000.0f - 1.0f;
}

static uint16_t to_bf16(float v) {
  uint32_t bits;
  memcpy(&bits, &v, 4);
  return (uint16_t)(bits >> 16);
}

/* A bound on the difference of one element: sums of |w x| and |w|, the largest |x|. The encodings here have zero-points
 * but no offsets, and LLM.int8 has no larger an error than int8 on columns below the threshold. */
static double bound_of(uint32_t precision, double columns, double m, double n, double a, int rounded) {
  const double e = (columns / 4 + 16) * ldexp(1, -24) * m + (rounded ? ldexp(1, -8) * m : 0);
  if (precision == INGOT_PRECISION_F32) return e;
  if (precision == INGOT_PRECISION_INT16) return e + ldexp(a * n, -14);
  return e + pow(2, -7.9) * a * n;
}

static void check_product(const ingot_tensor* tensor, const ingot_slice* slice, uint32_t precision, uint32_t x_dtype,
                          uint64_t x_rows, uint32_t add) {
  const ingot_tensor_info info = check_describe(tensor);
  const uint64_t rows = slice->rows ? slice->rows : info.rows - slice->row;
  const uint64_t columns = slice->columns ? slice->columns : info.columns - slice->column;
  const uint64_t x_stride = columns + 3, y_stride = rows + 1;
  float* w = malloc(rows * columns * sizeof *w);
  float* x = malloc(x_rows * x_stride * sizeof *x);
  uint16_t* narrow = malloc(x_rows * x_stride * sizeof *narrow);
  float* y = malloc(x_rows * y_stride * sizeof *y);
  ingot_product p;
  uint64_t n, r, c;
  int wrong = 0;
  REQUIRE(w && x && y && narrow);
  for (n = 0; n < x_rows * x_stride; ++n) {
    x[n] = uniform() * (n % 97 == 5 ? 9.0f : 1.0f);
    narrow[n] = to_bf16(x[n]);
    if (x_dtype == INGOT_BF16) {
      const uint32_t bits = (uint32_t)narrow[n] << 16;
      memcpy(&x[n], &bits, 4);
    }
  }
  for (n = 0; n < x_rows * y_stride; ++n) y[n] = 0.25f;
  CHECK(ingot_tensor_decode(tensor, slice, INGOT_F32, w, rows * columns * sizeof *w, 0) == INGOT_OK);
  memset(&p, 0, sizeof p);
  p.struct_size = sizeof p;
  p.precision = precision, p.x_dtype = x_dtype;
  p.x = x_dtype == INGOT_BF16 ? (const void*)narrow : (const void*)x;
  p.x_rows = x_rows, p.x_stride = x_stride, p.y = y, p.y_stride = y_stride, p.add = add;
  CHECK(ingot_tensor_multiply(tensor, slice, &p) == INGOT_OK);
  for (n = 0; n < x_rows; ++n) {
    double a = 0;
    for (c = 0; c < columns; ++c) a = fmax(a, fabs(x[n * x_stride + c]));
    for (r = 0; r < rows; ++r) {
      double sum = add ? 0.25 : 0, m = 0.25, all = 0;
      for (c = 0; c < columns; ++c) {
        const double v = w[r * columns + c], product = v * x[n * x_stride + c];
        sum += product, m += fabs(product), all += fabs(v);
      }
      wrong += !(fabs(y[n * y_stride + r] - sum) <= bound_of(precision, (double)columns, m, all, a, 1));
    }
    wrong += y[n * y_stride + rows] != 0.25f;
  }
  CHECK(wrong == 0);
  free(w), free(x), free(y), free(narrow);
}

int main(int argc, char** argv) {
  static const char* const kNames[] = {"raw",    "framed",  "linear",  "permuted", "flat view",
                                       "nested", "experts", "columns", "scalar"};
  char path[4096];
  size_t i;
  REQUIRE(argc == 2);
  snprintf(path, sizeof path, "%s/model.ingot", argv[1]);
  REQUIRE(ingot_model_open(path, NULL, &model) == INGOT_OK);
  for (i = 0; i < sizeof kNames / sizeof *kNames; ++i) {
    ingot_tensor* tensor = check_tensor(model, kNames[i]);
    const ingot_tensor_info info = check_describe(tensor);
    uint32_t precision;
    for (precision = 0; precision < 4; ++precision) {
      ingot_slice slice = {sizeof slice, 0, info.rows < 70 ? 0 : 70, 0, 0};
      check_product(tensor, &slice, precision, INGOT_F32, 1, 0);
      slice.row = info.rows / 3, slice.rows = info.rows < 70 ? 0 : 20;
      slice.column = info.columns / 5, slice.columns = info.columns < 70 ? 0 : 55;
      check_product(tensor, &slice, precision, INGOT_F32, 3, 1);
      slice.column = info.columns < 128 ? 0 : 64, slice.columns = 0;
      check_product(tensor, &slice, precision, INGOT_BF16, 9, 0);
    }
    ingot_tensor_release(tensor);
  }
  { /* nothing to sum */
    ingot_tensor* empty = check_tensor(model, "empty");
    float y[4] = {1, 2, 3, 4};
    ingot_product p;
    memset(&p, 0, sizeof p);
    p.struct_size = sizeof p;
    p.x_rows = 1, p.y = y, p.add = 1;
    CHECK(ingot_tensor_multiply(empty, NULL, &p) == INGOT_OK && y[3] == 4);
    p.add = 0;
    CHECK(ingot_tensor_multiply(empty, NULL, &p) == INGOT_OK && y[0] == 0 && y[3] == 0);
    ingot_tensor_release(empty);
  }
  ingot_model_release(model);
  return check_done("products");
}

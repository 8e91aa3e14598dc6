// Products on a device through the C interface, within the bounds that it states: tensors and slices of every kind.
#include "kernels/widen.h"
#include "tests/abi/device_test.h"

namespace ingot::test {
namespace {

struct ProductCase {
  ingot_precision precision = INGOT_PRECISION_F32;
  DType type = DType::kF16;
  uint64_t x_rows = 1;
  bool add = false, large = false;
};

// A product of a slice of an uploaded tensor with activations at random.
class ProductRun {
 public:
  ProductRun(const Expected& e, const MatrixSlice& slice, const ProductCase& c, Dice& dice)
      : e_(e), slice_(slice), c_(c), x_stride_(slice.columns + 1), y_stride_(slice.rows + 2) {
    x_.resize(c.x_rows * x_stride_);
    for (float& v : x_) v = (static_cast<float>(dice.Below(2001)) - 1000.0f) / 500.0f;
    for (int i = 0; c.large && i < 3; ++i) x_[dice.Below(x_.size())] *= 30;
    x_bytes_.resize(x_.size() * 2);
    NarrowFromF32(c.type, x_.data(), x_.size(), x_bytes_.data());
    WidenToF32(c.type, x_bytes_.data(), x_.size(), x_.data());
    y_.assign(c.x_rows * y_stride_, 7.0f);
  }

  void Run(const std::shared_ptr<Device>& device, const ingot_device* handle, const ingot_device_tensor* tensor,
           void* stream) {
    const ingot_slice slice = SliceFrom(slice_);
    ingot_device_product p = {};
    p.struct_size = sizeof p;
    p.precision = c_.precision, p.x_dtype = static_cast<uint32_t>(c_.type), p.x_rows = c_.x_rows;
    p.add = c_.add ? 1 : 0;
    INGOT_REQUIRE_OK(ingot_device_product_scratch(tensor, &slice, &p, &p.scratch_bytes));
    const DeviceBuffer scratch(device, Bytes(p.scratch_bytes, std::byte{0xFF}));
    const DeviceBuffer x(device, x_bytes_);
    const ByteSpan y_bytes = std::as_bytes(std::span(y_));
    const DeviceBuffer y(device, Bytes(y_bytes.begin(), y_bytes.end()));
    p.x = x.at(), p.x_stride = x_stride_;
    p.y = reinterpret_cast<float*>(y.at()), p.y_stride = y_stride_;
    p.scratch = scratch.at();
    INGOT_REQUIRE_OK(ingot_device_tensor_multiply(tensor, &slice, &p, stream));
    INGOT_REQUIRE_OK(ingot_device_wait(handle, stream));
    const Bytes got = y.Read();
    std::memcpy(y_.data(), got.data(), got.size());
  }

  // How far the worst element is from the exact sum, in bounds; what is beside the rows has to be as it was.
  double Worst() const {
    const uint64_t columns = e_.shape.back();
    double worst = 0;
    for (uint64_t n = 0; n < c_.x_rows; ++n) {
      const double largest = LargestOf(n);
      for (uint64_t r = 0; r < slice_.rows; ++r) {
        double exact = c_.add ? 7.0 : 0.0, bound = c_.add ? 7 * 0x1p-22 : 0;
        for (uint64_t c = 0; c < slice_.columns; ++c) {
          const uint64_t at = (slice_.row + r) * columns + slice_.column + c;
          const double x = x_[n * x_stride_ + c];
          exact += e_.values[at] * x;
          bound += BoundOf(e_.terms[at], std::abs(x), largest);
        }
        const double error = std::abs(y_[n * y_stride_ + r] - exact);
        worst = std::max(worst, std::isnan(error) ? HUGE_VAL : bound == 0 ? error * HUGE_VAL : error / bound);
      }
      for (uint64_t r = slice_.rows; r < y_stride_; ++r) {
        if (y_[n * y_stride_ + r] != 7.0f) return HUGE_VAL;
      }
    }
    return worst;
  }

 private:
  double BoundOf(const ProductTerm& w, double x, double largest) const {
    const bool f16 = c_.type == DType::kF16;
    const double sums = (static_cast<double>(slice_.columns) + 64) * 0x1p-24;
    const double of_codes = sums + w.roundings + (w.t_array ? (f16 ? 0x1p-20 : 0x1p-15) : 0);
    double bound = x * (w.codes * of_codes + w.outlier * (sums + w.roundings) + w.book * (f16 ? 0x1p-10 : 0x1p-7));
    bound += 0x1p-24 * w.codes;
    if (c_.precision != INGOT_PRECISION_F32) bound += std::exp2(-7.9) * largest * w.codes;
    return bound;
  }
  // Of a row of activations, but for columns that LLM.int8 leaves out.
  double LargestOf(uint64_t n) const {
    double most = 0;
    for (uint64_t c = 0; c < slice_.columns; ++c) {
      bool left_out = false;
      for (uint64_t i = 0; i < c_.x_rows; ++i) left_out |= std::abs(x_[i * x_stride_ + c]) > 6.0f;
      if (!(left_out && c_.precision == INGOT_PRECISION_LLM_INT8))
        most = std::max(most, std::abs(static_cast<double>(x_[n * x_stride_ + c])));
    }
    return most;
  }

  const Expected& e_;
  const MatrixSlice slice_;
  const ProductCase c_;
  const uint64_t x_stride_, y_stride_;
  std::vector<float> x_, y_;
  Bytes x_bytes_;
};

bool Bounded(const Expected& e) {
  for (size_t i = 0; i < e.values.size(); ++i) {
    if (!(std::abs(e.values[i]) < 0x1p60f && e.terms[i].codes < 0x1p60f && e.terms[i].book < 0x1p60f)) return false;
  }
  return true;
}

MatrixSlice WholeOf(const Expected& e) { return {0, e.values.size() / e.shape.back(), 0, e.shape.back()}; }

// A tensor of one linear part.
Expected AddMatrix(TensorFile& file, Dice& dice, const std::string& name, const Linear& l) {
  const Numbers n = dice.Fill(l);
  file.Add(name, DType::kF32, {l.rows, l.cols}, file.AddLinear(n));
  return {name, DType::kF32, {l.rows, l.cols}, n.Values(), TermsOf(n)};
}

// Uploads what `uploads` say and multiplies slices of it.
struct Wanted {
  uint32_t tensor;
  MatrixSlice there, slice;
  ProductCase product;
};
void CheckProducts(TensorFile& file, const std::vector<Expected>& all, const std::vector<Wanted>& wanted, Dice& dice) {
  const auto device = OpenTestDevice();
  if (device == nullptr) return;
  const TempDirectory folder;
  const ModelHandle model = OpenModel(folder.Write("x.ingot", file.Finish()));
  {
    const DeviceHandle handle = WrapDevice(device);
    const TestStream stream(device);
    std::vector<ingot_upload> uploads;
    for (const Wanted& w : wanted) uploads.push_back(UploadOf(w.tensor, w.there));
    const auto tensors = Upload(handle.get(), model.get(), uploads);
    for (size_t i = 0; i < wanted.size(); ++i) {
      const Wanted& w = wanted[i];
      const TensorHandle host = OpenTensor(model.get(), w.tensor);
      ingot_tensor_info info = {};
      info.struct_size = sizeof info;
      INGOT_REQUIRE_OK(ingot_tensor_describe(host.get(), &info));
      CAPTURE(std::string(info.encoding.data, info.encoding.size));
      CAPTURE(w.slice.row);
      CAPTURE(w.slice.rows);
      CAPTURE(w.slice.column);
      CAPTURE(w.slice.columns);
      CAPTURE(w.product.x_rows);
      CHECK(DescribeOnDevice(tensors[i].get()).can_multiply == 1);
      ProductRun run(all[w.tensor], w.slice, w.product, dice);
      run.Run(device, handle.get(), tensors[i].get(), dice.Half() ? stream.get() : nullptr);
      const double worst = run.Worst();
      REQUIRE(worst <= 1);
    }
  }
  CHECK(ProblemsOf(*device) == "");
}

TEST_CASE("tensors and slices at random: parts along rows and columns, any view, raw ones") {
  Dice dice(61, false);
  for (int round = 0; round < 20; ++round) {
    TensorFile file;
    std::vector<Expected> all;
    std::vector<Wanted> wanted;
    for (uint32_t t = 0; t < 4; ++t) {
      all.push_back(AddTensor(file, dice, "t" + std::to_string(t)));
      if (!Bounded(all.back())) continue;
      for (int i = 0; i < 2; ++i) {
        ProductCase c;
        c.type = dice.Half() ? DType::kF16 : DType::kBF16;
        c.x_rows = 1 + dice.Below(dice.Half() ? 1 : 20);
        c.add = dice.Half();
        const MatrixSlice there = i == 0 ? WholeOf(all.back()) : AnySlice(dice, WholeOf(all.back()));
        MatrixSlice slice = AnySlice(dice, {0, there.rows, 0, there.columns});
        slice.row += there.row, slice.column += there.column;
        wanted.push_back({t, there, slice, c});
      }
    }
    CheckProducts(file, all, wanted, dice);
  }
}

TEST_CASE("the shares of ranks, by rows and by columns, each with its own upload or of one") {
  Dice dice(62, false);
  for (const int bits : {2, 3, 4, 8}) {
    TensorFile file;
    Linear l;
    l.bits = bits, l.rows = 96, l.cols = 1024, l.group_rows = 1, l.group_cols = bits == 3 ? 128 : 64;
    l.s = Operand::Array(DType::kF16);
    l.z = Operand::Nested();
    if (bits == 4) l.outliers = OutlierForm::kUnstructured, l.outlier_count = 700, l.outlier_type = DType::kF16;
    if (bits == 8) l.outliers = OutlierForm::kColumns, l.outlier_count = 5, l.outlier_type = DType::kF16;
    std::vector<Expected> all = {AddMatrix(file, dice, "w", l)};
    if (!Bounded(all[0])) continue;
    std::vector<Wanted> wanted;
    for (uint64_t rank = 0; rank < 4; ++rank) {
      for (const MatrixSlice& share : {MatrixSlice{rank * 24, 24, 0, 1024}, MatrixSlice{0, 96, rank * 256, 256}}) {
        ProductCase c;
        c.x_rows = 1 + dice.Below(17), c.add = dice.Half();
        wanted.push_back({0, share, share, c});
        wanted.push_back({0, WholeOf(all[0]), share, c});
      }
    }
    CheckProducts(file, all, wanted, dice);
  }
}

TEST_CASE("weights that are decoded into scratch, more than it holds at once") {
  Dice dice(64, false);
  TensorFile file;
  Linear l;
  l.bits = 4, l.rows = 1, l.cols = 2100 * 1024, l.group_rows = 1, l.group_cols = 1024;
  l.s = Operand::Array(DType::kF16);
  const Numbers n = dice.Fill(l);
  file.Add("flat", DType::kF32, {2100, 1024}, file.AddLinear(n));
  const std::vector<Expected> all = {{"flat", DType::kF32, {2100, 1024}, n.Values(), TermsOf(n)}};
  CheckProducts(file, all, {{0, WholeOf(all[0]), {3, 2097, 0, 1024}, {}}}, dice);
}

TEST_CASE("8-bit products and LLM.int8") {
  Dice dice(63, false);
  for (const ingot_precision precision : {INGOT_PRECISION_INT8, INGOT_PRECISION_LLM_INT8}) {
    TensorFile file;
    std::vector<Expected> all;
    std::vector<Wanted> wanted;
    for (uint32_t t = 0; t < 3; ++t) {
      Linear l;
      l.bits = t == 0 ? 8 : 4, l.rows = 70, l.cols = 320, l.group_rows = 1, l.group_cols = t == 1 ? 320 : 64;
      l.s = Operand::Array(DType::kF16);
      if (t == 2) l.z = Operand::Nested(), l.permutation = true;
      all.push_back(AddMatrix(file, dice, "w" + std::to_string(t), l));
      if (!Bounded(all.back())) continue;
      for (const uint64_t x_rows : {1, 9, 40}) {
        ProductCase c;
        c.precision = precision, c.x_rows = x_rows, c.large = true;
        c.type = dice.Half() ? DType::kF16 : DType::kBF16;
        wanted.push_back({t, WholeOf(all.back()), WholeOf(all.back()), c});
      }
    }
    CheckProducts(file, all, wanted, dice);
  }
}

TEST_CASE("a matrix without columns gives zeros") {
  const auto device = OpenTestDevice();
  if (device == nullptr) return;
  const TempDirectory folder;
  TensorFile file;
  file.Add("empty", DType::kF32, {4, 0}, file.AddRaw({}));
  const ModelHandle model = OpenModel(folder.Write("x.ingot", file.Finish()));
  {
    const DeviceHandle handle = WrapDevice(device);
    const auto tensors = Upload(handle.get(), model.get(), {UploadOf(0)});
    const DeviceBuffer y(device, Bytes(2 * 5 * 4, std::byte{0x5A}));
    ingot_device_product p = {};
    p.struct_size = sizeof p;
    p.x_dtype = INGOT_F16, p.x_rows = 2, p.y = reinterpret_cast<float*>(y.at()), p.y_stride = 5;
    for (const bool add : {true, false}) {
      p.add = add;
      INGOT_REQUIRE_OK(ingot_device_tensor_multiply(tensors[0].get(), nullptr, &p, nullptr));
      INGOT_REQUIRE_OK(ingot_device_wait(handle.get(), nullptr));
      const Bytes got = y.Read();
      for (size_t i = 0; i < got.size(); ++i)
        REQUIRE(got[i] == (add || i / 4 % 5 == 4 ? std::byte{0x5A} : std::byte{0}));
    }
  }
  CHECK(ProblemsOf(*device) == "");
}

}  // namespace
}  // namespace ingot::test

// Decoding on a device through the C interface: the bits of ingot_tensor_decode, for tensors and slices of every kind.
#include "kernels/widen.h"
#include "tests/abi/device_test.h"

namespace ingot::test {
namespace {

// `slice` (of what is there) decoded on the device and on the host into rows of `stride` elements: the same bytes (NaN
// being NaN), and nothing beside them.
void CheckSlice(const std::shared_ptr<Device>& device, const ingot_device* handle, const ingot_device_tensor* tensor,
                const ingot_tensor* host, const MatrixSlice& slice, DType type, uint64_t stride, void* stream) {
  CAPTURE(slice.row);
  CAPTURE(slice.rows);
  CAPTURE(slice.column);
  CAPTURE(slice.columns);
  const uint64_t size = InfoOf(type).size, count = (slice.rows - 1) * stride + slice.columns;
  const ingot_slice part = SliceFrom(slice);
  const auto dtype = static_cast<ingot_dtype>(type);
  const DeviceBuffer out(device, Bytes((count + 3) * size, std::byte{0x5A}));
  INGOT_REQUIRE_OK(ingot_device_tensor_decode(tensor, &part, dtype, out.at(), count * size, stride, stream));
  INGOT_REQUIRE_OK(ingot_device_wait(handle, stream));
  Bytes expected((count + 3) * size, std::byte{0x5A});
  INGOT_REQUIRE_OK(ingot_tensor_decode(host, &part, dtype, expected.data(), count * size, stride));
  const Bytes got = out.Read();
  std::vector<float> values(count + 3), wanted(count + 3);
  WidenToF32(type, got.data(), values.size(), values.data());
  WidenToF32(type, expected.data(), wanted.size(), wanted.data());
  REQUIRE(CountDifferences(values, wanted) == 0);
}

TEST_CASE("tensors and slices at random decode to the bits of the CPU") {
  const auto device = OpenTestDevice();
  if (device == nullptr) return;
  Dice dice(51);
  for (int round = 0; round < 12; ++round) {
    const TempDirectory folder;
    TensorFile file;
    std::vector<MatrixSlice> whole;
    for (int i = 0; i < 4; ++i) {
      file.Compress(dice.Below(3) == 0);
      const Expected e = AddTensor(file, dice, "t" + std::to_string(i));
      whole.push_back({0, e.values.size() / e.shape.back(), 0, e.shape.back()});
    }
    const ModelHandle model = OpenModel(folder.Write("x.ingot", file.Finish()));
    {
      const DeviceHandle handle = WrapDevice(device);
      const TestStream own(device);
      std::vector<ingot_upload> uploads;
      std::vector<MatrixSlice> there;
      for (uint32_t t = 0; t < 4; ++t) {
        for (int i = 0; i < 3; ++i) {
          there.push_back(i == 0 ? whole[t] : AnySlice(dice, whole[t]));
          uploads.push_back(i == 0 ? UploadOf(t) : UploadOf(t, there.back()));
        }
      }
      const auto tensors = Upload(handle.get(), model.get(), uploads);
      for (size_t i = 0; i < tensors.size(); ++i) {
        const TensorHandle host = OpenTensor(model.get(), uploads[i].tensor);
        const ingot_device_tensor_info info = DescribeOnDevice(tensors[i].get());
        CHECK(info.can_decode == 1);
        ingot_tensor_info of = {};
        of.struct_size = sizeof of;
        INGOT_REQUIRE_OK(ingot_tensor_describe(host.get(), &of));
        CAPTURE(std::string(of.encoding.data, of.encoding.size));
        CAPTURE(of.rows);
        CAPTURE(of.columns);
        CHECK(info.row == there[i].row);
        CHECK(info.slice_columns == there[i].columns);
        MatrixSlice slice = AnySlice(dice, {0, there[i].rows, 0, there[i].columns});
        slice.row += there[i].row, slice.column += there[i].column;
        CheckSlice(device, handle.get(), tensors[i].get(), host.get(), slice, dice.Type(),
                   slice.columns + dice.Below(3), dice.Half() ? own.get() : nullptr);
      }
    }
  }
  CHECK(ProblemsOf(*device) == "");
}

TEST_CASE("NULL is all that is there; sizes of 0 go up to its end") {
  const auto device = OpenTestDevice();
  if (device == nullptr) return;
  const TempDirectory folder;
  TensorFile file;
  Dice dice(52, false);
  Linear l;
  l.bits = 4, l.rows = 32, l.cols = 256, l.group_rows = 1, l.group_cols = 64;
  l.s = Operand::Array(DType::kF16);
  const Numbers n = dice.Fill(l);
  const std::vector<float> values = n.Values();
  file.Add("w", DType::kF32, {32, 256}, file.AddLinear(n));
  const ModelHandle model = OpenModel(folder.Write("x.ingot", file.Finish()));
  {
    const DeviceHandle handle = WrapDevice(device);
    const auto tensors = Upload(handle.get(), model.get(), {UploadOf(0, {8, 16, 64, 128})});
    const auto decode = [&](const ingot_slice* slice, uint64_t rows, uint64_t columns, uint64_t first) {
      const DeviceBuffer out(device, rows * columns * 4);
      INGOT_REQUIRE_OK(
          ingot_device_tensor_decode(tensors[0].get(), slice, INGOT_F32, out.at(), out.size(), 0, nullptr));
      INGOT_REQUIRE_OK(ingot_device_wait(handle.get(), nullptr));
      const Bytes got = out.Read();
      for (uint64_t r = 0; r < rows; ++r)
        REQUIRE(std::memcmp(got.data() + r * columns * 4, values.data() + first + r * 256, columns * 4) == 0);
    };
    decode(nullptr, 16, 128, 8 * 256 + 64);
    ingot_slice slice = SliceFrom({20, 0, 128, 0});
    decode(&slice, 4, 64, 20 * 256 + 128);
    // Beyond what is there, though in the tensor.
    const DeviceBuffer out(device, 32 * 256 * 4);
    for (const MatrixSlice& bad : {MatrixSlice{7, 1, 64, 128}, MatrixSlice{8, 17, 64, 128}, MatrixSlice{8, 1, 0, 0},
                                   MatrixSlice{24, 0, 64, 0}, MatrixSlice{8, 1, 191, 2}}) {
      slice = SliceFrom(bad);
      CheckRefused(ingot_device_tensor_decode(tensors[0].get(), &slice, INGOT_F32, out.at(), out.size(), 0, nullptr),
                   INGOT_E_ARGUMENT, "tensor 'w'");
    }
  }
  CHECK(ProblemsOf(*device) == "");
}

}  // namespace
}  // namespace ingot::test

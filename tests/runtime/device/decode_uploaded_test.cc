// From the file through the upload to the decoding kernels: slices on an emulated device, decoded there by the kernels
// under the executor, which sees every access outside of what was uploaded.
#include <doctest/doctest.h>

#include "kernels/cuda/decode_plan.h"
#include "runtime/device/upload.h"
#include "tests/kernels/cuda/device_matrix.h"
#include "tests/support/device_planes.h"
#include "tests/support/emulated_device.h"
#include "tests/support/temp_directory.h"

namespace ingot::test {
namespace {

void LendPlanes(simt::Memory& memory, const std::vector<DevicePlane>& planes) {
  for (const DevicePlane& plane : planes) {
    if (plane.data != nullptr) memory.LendReadOnly(plane.data, plane.size * plane.rows, "planes");
  }
}

// Nothing but the planes of the part that are on the device.
simt::Memory MemoryOf(const DevicePart& part) {
  simt::Memory memory;
  LendPlanes(memory, part.planes);
  for (const auto& child : part.children) LendPlanes(memory, child);
  if (part.stored_column != nullptr) memory.LendReadOnly(part.stored_column, 4 * part.view->columns, "columns");
  return memory;
}

std::vector<float> Decode(const DevicePart& part, uint64_t first, uint64_t count, unsigned seed) {
  simt::Memory memory = MemoryOf(part);
  AlignedBytes out(count * 4);
  memory.Lend(out.data(), out.size(), "out");
  for (const cuda::DecodeStep& step : cuda::PlanDecode(*part.view, first, count, DType::kF32, out.data(), 2)) {
    const cuda::DecodeFunction function = cuda::FunctionFor(step);
    const simt::LaunchOptions options = {
        .grid = step.grid, .block = step.block, .dynamic_shared = step.shared_bytes, .seed = seed};
    const simt::Report report = simt::Launch(memory, options, [&] { function(step.params); });
    REQUIRE(report.error == "");
  }
  std::vector<float> values(count);
  std::memcpy(values.data(), out.data(), out.size());
  return values;
}

void CheckTensor(const DeviceTensor& tensor, const Model& model, uint32_t number, const Expected& e, Dice& dice) {
  const PartLayout layout(model.container_of(number).index(), model.tensor(number));
  const MatrixSlice& slice = tensor.slice();
  layout.ForPieces(slice, [&](const PartLayout::Piece& piece) {
    const DevicePart& part = tensor.parts()[piece.part];
    if (!part.view) return;
    const MatrixSlice& in = piece.in_part;
    const uint64_t columns = layout.part_columns(piece.part);
    const bool whole = in.columns == columns;  // then all rows at once
    for (uint64_t r = 0; r < in.rows; r += whole ? in.rows : 1) {
      const uint64_t count = whole ? in.rows * columns : in.columns;
      const auto got = Decode(part, (in.row + r) * columns + in.column, count, static_cast<unsigned>(dice.Below(4)));
      for (uint64_t i = 0; i < count; ++i) {
        const uint64_t row = slice.row + piece.row + r + i / in.columns;
        REQUIRE(SameFloat(got[i], e.values[row * layout.columns() + slice.column + piece.column + i % in.columns]));
      }
    }
  });
}

void CheckFile(TensorFile& file, const std::vector<Expected>& all, const std::vector<UploadRequest>& requests,
               Dice& dice) {
  const TempDirectory folder;
  const auto model = LoadedModel::Open(folder.Write("x.ingot", file.Finish()), {});
  REQUIRE_MESSAGE(model, (model ? "" : model.error().message));
  const auto device = std::make_shared<EmulatedDevice>();
  {
    const auto uploader = Uploader::Make(device, {});
    REQUIRE(uploader);
    const auto tensors = (*uploader)->UploadAll(**model, requests);
    REQUIRE_MESSAGE(tensors, (tensors ? "" : tensors.error().message));
    for (size_t i = 0; i < tensors->size(); ++i)
      CheckTensor(*(*tensors)[i], (*model)->model(), requests[i].tensor, all[requests[i].tensor], dice);
  }
  CHECK(device->Problems() == "");
}

TEST_CASE("uploaded tensors and slices at random have the values of the formula when kernels decode them") {
  Dice dice(41);
  for (int round = 0; round < 40; ++round) {
    TensorFile file;
    std::vector<Expected> all;
    std::vector<UploadRequest> requests;
    for (uint32_t t = 0; t < 3; ++t) {
      all.push_back(AddTensor(file, dice, "t" + std::to_string(t)));
      const uint64_t columns = all[t].shape.back();
      requests.push_back({t, {}});
      for (int i = 0; i < 2; ++i)
        requests.push_back({t, AnySlice(dice, {0, all[t].values.size() / columns, 0, columns})});
    }
    CheckFile(file, all, requests, dice);
  }
}

TEST_CASE("ranks' shares of common encodings, by rows and by columns") {
  Dice dice(42, false);
  for (const int bits : {2, 3, 4, 8}) {
    for (const bool nested_zeros : {false, true}) {
      Linear l;
      l.bits = bits;
      l.rows = 8, l.cols = 4096, l.group_rows = 1, l.group_cols = 32;  // a share of a row is a tile of DecodeFlat
      l.s = Operand::Array(DType::kF16);
      if (nested_zeros) l.z = Operand::Nested();
      const Numbers n = dice.Fill(l);
      TensorFile file;
      file.Add("w", DType::kF32, {8, 4096}, file.AddLinear(n));
      const Expected e = {"w", DType::kF32, {8, 4096}, n.Values()};
      std::vector<UploadRequest> requests;
      for (uint64_t rank = 0; rank < 4; ++rank) {
        requests.push_back({0, MatrixSlice{rank * 2, 2, 0, 4096}});
        requests.push_back({0, MatrixSlice{0, 8, rank * 1024, 1024}});
      }
      CheckFile(file, {e}, requests, dice);
    }
  }
}

}  // namespace
}  // namespace ingot::test

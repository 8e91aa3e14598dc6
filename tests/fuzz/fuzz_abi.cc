// The input is the image of a whole .ingot file, with its hashes made right. It is opened through the C interface, and
// calls that follow from its bytes are made on it: they succeed or fail with a code and a text, what they decode does
// not depend on how, and nothing is written beyond a buffer.

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "runtime/ingot.h"
#include "tests/fuzz/image.h"
#include "tests/fuzz/memory_file.h"
#include "tests/fuzz/require.h"

namespace ingot {
namespace {

constexpr uint64_t kMostElements = 4096;

class Caller {
 public:
  explicit Caller(ByteSpan image) : state_(Xxh3_64(image) | 1) {}

  void UseFile(const std::string& path) {
    ingot_open_options options{};
    options.struct_size = sizeof options;
    options.access = static_cast<uint32_t>(Below(2));
    options.verify = static_cast<uint32_t>(Below(3));
    options.threads = 1;
    options.cache_bytes = Below(2);
    ingot_model* model = nullptr;
    if (!Ok(ingot_model_open(path.c_str(), &options, &model))) return;
    ingot_model_info info{};
    info.struct_size = sizeof info;
    Require(Ok(ingot_model_describe(model, &info)));
    UseExtras(model, info);
    for (uint32_t i = 0; i < info.tensor_count && i < 32; ++i) UseTensor(model, i);
    if (Below(4) == 0) (void)Ok(ingot_model_verify(model, nullptr, nullptr));
    ingot_memory_info memory{};
    memory.struct_size = sizeof memory;
    Require(Ok(ingot_model_memory(model, &memory)) && memory.cache_bytes <= memory.cache_limit);
    ingot_model_release(model);
  }

 private:
  uint64_t Below(uint64_t n) {
    state_ ^= state_ << 13, state_ ^= state_ >> 7, state_ ^= state_ << 17;
    return n == 0 ? 0 : state_ % n;
  }

  // Every failure has a text, and none is a defect or a lack of memory.
  static bool Ok(ingot_status status) {
    if (status == INGOT_OK) return true;
    Require(status != INGOT_E_INTERNAL && *ingot_error_text() != '\0');
    return false;
  }

  void UseExtras(ingot_model* model, const ingot_model_info& info) {
    for (uint32_t i = 0; i < info.metadata_count && i < 16; ++i) {
      ingot_metadata entry{};
      entry.struct_size = sizeof entry;
      Require(Ok(ingot_metadata_at(model, i, &entry)));
      Require(Ok(ingot_metadata_find(model, entry.key.data, entry.key.size, &entry)));
      Require(entry.count <= std::max<uint64_t>(entry.size, 1));
    }
    for (uint32_t i = 0; i < info.attachment_count && i < 16; ++i) {
      ingot_attachment entry{};
      entry.struct_size = sizeof entry;
      Require(Ok(ingot_attachment_at(model, i, &entry)));
      if (entry.size > (4u << 20)) continue;
      std::vector<char> bytes(entry.size);
      (void)Ok(ingot_attachment_read(model, i, bytes.data(), bytes.size()));
    }
  }

  ingot_slice AnySlice(const ingot_tensor_info& info) {
    ingot_slice slice{};
    slice.struct_size = sizeof slice;
    slice.row = Below(info.rows), slice.column = Below(info.columns);
    slice.columns = 1 + Below(std::min<uint64_t>(info.columns - slice.column, kMostElements));
    slice.rows = 1 + Below(std::min<uint64_t>(info.rows - slice.row, kMostElements / slice.columns));
    return slice;
  }

  void UseTensor(ingot_model* model, uint32_t number) {
    ingot_tensor* tensor = nullptr;
    if (!Ok(ingot_tensor_open(model, number, &tensor))) return;
    ingot_tensor_info info{};
    info.struct_size = sizeof info;
    Require(Ok(ingot_tensor_describe(tensor, &info)));
    for (int i = 0; i < 4 && info.rows > 0 && info.columns > 0; ++i) {
      const ingot_slice slice = AnySlice(info);
      UseSlice(tensor, info, slice);
    }
    if (info.plane_bytes <= (8u << 20)) UsePlanes(tensor, info);
    ingot_tensor_release(tensor);
  }

  void UseSlice(const ingot_tensor* tensor, const ingot_tensor_info& info, const ingot_slice& slice) {
    const uint64_t count = slice.rows * slice.columns;
    std::vector<float> values(count), again(count);
    (void)Ok(ingot_tensor_prefetch(tensor, &slice));
    const bool decoded = Ok(ingot_tensor_decode(tensor, &slice, INGOT_F32, values.data(), 4 * count, 0));
    Require(!decoded || info.can_decode);
    if (decoded) {  // row by row: the same bits
      for (uint64_t r = 0; r < slice.rows; ++r) {
        ingot_slice row = slice;
        row.row = slice.row + r, row.rows = 1;
        Require(
            Ok(ingot_tensor_decode(tensor, &row, INGOT_F32, again.data() + r * slice.columns, 4 * slice.columns, 0)));
      }
      Require(std::memcmp(values.data(), again.data(), 4 * count) == 0);
    }
    std::vector<std::byte> raw(8 * count);
    (void)Ok(ingot_tensor_read(tensor, &slice, raw.data(), raw.size(), 0));
    (void)Ok(ingot_tensor_verify(tensor, &slice));
    std::vector<float> y(slice.rows);
    ingot_product product{};
    product.struct_size = sizeof product;
    product.precision = static_cast<uint32_t>(Below(4));
    product.x = again.data(), product.x_rows = 1, product.y = y.data();
    Require(Ok(ingot_tensor_multiply(tensor, &slice, &product)) == decoded);
  }

  void UsePlanes(const ingot_tensor* tensor, const ingot_tensor_info& info) {
    uint32_t children = 0;
    for (uint32_t part = 0; part < info.part_count && part < 8; ++part) {
      for (uint32_t child = 0; child <= children; ++child) {
        ingot_encoding encoding{};
        encoding.struct_size = sizeof encoding;
        Require(Ok(ingot_tensor_encoding(tensor, part, child, &encoding)));
        if (child == 0) children = encoding.child_count;
        for (uint32_t i = 0; i < encoding.plane_count && i < 16; ++i) {
          ingot_plane plane{};
          plane.struct_size = sizeof plane;
          if (!Ok(ingot_tensor_plane(tensor, part, child, i, &plane))) continue;
          unsigned sum = 0;
          for (uint64_t b = 0; b < plane.size; ++b) sum += static_cast<const unsigned char*>(plane.data)[b];
          sink_ = sum;
        }
      }
    }
  }

  uint64_t state_;
  volatile unsigned sink_ = 0;
};

}  // namespace
}  // namespace ingot

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto* bytes = reinterpret_cast<const std::byte*>(data);
  ingot::Image image(bytes, bytes + size);
  ingot::RepairHashes(image);
  ingot::RepairChunks(image);
  ingot::RepairHashes(image);
  ingot::Caller(image).UseFile(ingot::MemoryFile(image).path());
  return 0;
}

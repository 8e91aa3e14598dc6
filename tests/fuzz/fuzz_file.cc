// The input is the image of a whole .ingot file, with its hashes made right. It is validated, opened and read as a file
// in memory, the way the tools do it: whatever its bytes are, the only outcomes are an answer and a refusal.

#include <algorithm>
#include <string>
#include <vector>

#include "runtime/model.h"
#include "runtime/tensor_reader.h"
#include "runtime/validate.h"
#include "tests/fuzz/image.h"
#include "tests/fuzz/memory_file.h"
#include "tests/fuzz/require.h"

namespace ingot {
namespace {

void ReadTensors(const Model& model) {
  std::vector<float> values;
  std::vector<std::byte> raw;
  for (uint32_t i = 0; i < model.tensor_count() && i < 64; ++i) {
    const auto reader = TensorReader::Open(model, i);
    if (!reader) continue;
    const uint64_t count = std::min<uint64_t>(reader->element_count(), 4096), last = reader->element_count() - count;
    values.resize(count);
    raw.resize(count * InfoOf(reader->dtype()).size);
    for (const uint64_t first : {uint64_t{0}, last}) {
      (void)reader->Decode(first, count, values.data());
      (void)reader->ReadRaw(first, count, raw.data());
    }
  }
}

void UseFile(const std::string& path) {
  const auto structure = ValidateFile(path, {.structure_only = true, .progress = {}});
  const auto validation = ValidateFile(path);
  Require(structure.has_value() && validation.has_value());  // bytes are never an input/output failure
  Require(structure->violations.size() <= validation->violations.size() || !validation->complete);
  const auto model = Model::Open(path);
  Require(model.has_value() || !structure->valid());  // what is valid can be opened
  if (model) {
    ReadTensors(**model);
    Require((*model)->ContentDigest() == (*model)->ContentDigest());
  } else {
    Require(model.error().code == ErrorCode::kBadInput || (*structure).violations.front().rule == "R-SHD-4");
  }
}

}  // namespace
}  // namespace ingot

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto* bytes = reinterpret_cast<const std::byte*>(data);
  ingot::Image image(bytes, bytes + size);
  ingot::RepairHashes(image);
  ingot::RepairChunks(image);
  ingot::RepairHashes(image);
  ingot::UseFile(ingot::MemoryFile(image).path());
  return 0;
}

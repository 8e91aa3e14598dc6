// The input is an edit of a small file, one step a line: KEY=VALUE sets metadata, -KEY removes it, +NAME attaches a
// file, ~NAME detaches it. Whatever the edit is, the file is valid afterwards, and has the old content if the edit was
// refused, the new one otherwise.

#include <algorithm>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "convert/edit.h"
#include "format/header.h"
#include "format/index_builder.h"
#include "runtime/container.h"
#include "runtime/validate.h"
#include "tests/fuzz/image.h"
#include "tests/fuzz/memory_file.h"
#include "tests/fuzz/require.h"

namespace ingot {
namespace {

constexpr size_t kMostLines = 32;

// A file with a tensor, an attachment and metadata.
Image MakeFile() {
  constexpr uint64_t kTensorAt = kHeaderSize, kNoteAt = kTensorAt + kDefaultAlignment,
                     kIndexAt = kNoteAt + kDefaultAlignment;
  Image image(kIndexAt);
  const auto plane = [&](uint64_t offset, uint64_t size) {
    WrittenPlane out;
    out.offset = offset;
    out.size = size;
    out.chunks = {Xxh3_128(ByteSpan(image).subspan(offset, size))};
    return out;
  };
  IndexBuilder builder;
  const uint32_t encoding = builder.AddEncoding(EncodingKind::kRaw, {}, {plane(kTensorAt, 8)});
  builder.AddTensor("weight", DType::kF32, {2}, 0, {{2, encoding}});
  builder.AddAttachment("note.txt", plane(kNoteAt, 5));
  builder.SetMetadata("author", MetadataValue::String("somebody"));
  builder.SetMetadata("number", MetadataValue::U64(7));
  Header header;
  const std::vector<std::byte> index = builder.Build(header.required_features);
  header.index_offset = kIndexAt;
  header.index_size = index.size();
  header.index_hash = Xxh3_128(index);
  header.file_end = kIndexAt + index.size();
  const Slot slot = EncodeSlot(header);
  std::copy(slot.begin(), slot.end(), image.begin());
  std::copy(slot.begin(), slot.end(), image.begin() + kSlotSize);
  image.insert(image.end(), index.begin(), index.end());
  return image;
}

EditOptions ParseEdit(std::string_view text, const std::string& attached_path) {
  EditOptions options;
  for (size_t line_number = 0; !text.empty() && line_number < kMostLines; ++line_number) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.starts_with('-')) {
      options.remove.emplace_back(line.substr(1));
    } else if (line.starts_with('+')) {
      options.attach.emplace_back(line.substr(1), attached_path);
    } else if (line.starts_with('~')) {
      options.detach.emplace_back(line.substr(1));
    } else if (auto parsed = ParseMetadata(line)) {
      options.set.push_back(std::move(*parsed));
    } else {
      Require(parsed.error().code == ErrorCode::kUsage && !parsed.error().message.empty());
    }
  }
  return options;
}

void CheckMetadata(const Index& index, const EditOptions& options) {
  std::map<std::string, const MetadataValue*> last;  // of several values for one key the last one counts
  for (const auto& [key, value] : options.set) last[key] = &value;
  for (const auto& [key, value] : last) {
    const auto found = index.FindMetadata(key);
    Require(found.has_value() && found->type == static_cast<uint8_t>(value->type));
    Require(AsText(found->value) == AsText(value->bytes));
  }
}

void Edit(std::string_view text) {
  static const Image image = MakeFile();
  static const MemoryFile attached(AsBytes("attached"));
  const MemoryFile file(image);
  const EditOptions options = ParseEdit(text, attached.path());
  const auto edited = EditFile(file.path(), options);

  const auto validation = ValidateFile(file.path());
  Require(validation.has_value() && validation->valid());
  const auto container = Container::Open(file.path());
  Require(container.has_value());
  const Index& index = (*container)->index();
  Require(index.tensor_count() == 1);
  if (edited) {
    Require(index.header().generation == edited->generation);
    CheckMetadata(index, options);
    for (const auto& [name, path] : options.attach) Require(IsSafeName(name, 2));
  } else {
    Require(edited.error().code == ErrorCode::kUsage && !edited.error().message.empty());
    Require(index.header().generation == 1 && index.count(Table::kMetadata) == 2);
  }
}

}  // namespace
}  // namespace ingot

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ingot::Edit({reinterpret_cast<const char*>(data), size});
  return 0;
}

// Metadata and attachments of the main file.
#include "runtime/abi/abi.h"

using namespace ingot;
using namespace ingot::abi;

namespace {

void HandOutMetadata(const MetadataRecord& record, ingot_metadata* out) {
  auto info = Blank<ingot_metadata>();
  info.type = record.type;
  info.element_type = record.element_type;
  info.key = TextOf(record.key);
  info.value = TextOf(AsText(record.value)).data;
  info.size = record.value.size();
  info.count = 1;
  if (record.type == static_cast<uint8_t>(MetadataType::kArray)) {
    const uint32_t size = MetadataScalarSize(record.element_type);
    info.count = size == 0 ? 0 : info.size / size;
    // Strings: each a u32 size and its bytes, which validation has found to tile the value.
    for (size_t at = 0; size == 0 && at < record.value.size(); ++info.count)
      at += 4 + Load<uint32_t>(record.value.data() + at);
  }
  HandOut(info, out);
}

void HandOutAttachment(const LoadedModel& loaded, uint32_t number, ingot_attachment* out) {
  auto info = Blank<ingot_attachment>();
  info.name = TextOf(loaded.model().main().index().attachment(number).name);
  info.size = loaded.AttachmentSize(number);
  HandOut(info, out);
}

Outcome RequireNumber(const ingot_model& model, Table table, uint32_t number, const char* what) {
  const uint64_t count = model.loaded->model().main().index().count(table);
  if (number < count) return {};
  return Refuse(INGOT_E_NOT_FOUND, "{}: there is no {} {}, there are {}", model.loaded->model().main().path(), what,
                number, count);
}

}  // namespace

extern "C" {

ingot_status ingot_metadata_at(const ingot_model* model, uint32_t number, ingot_metadata* out) {
  return Guarded([&]() -> Outcome {
    if (auto there = RequireAll({{model, "model"}}); !there) return there;
    if (auto checked = CheckStruct(out, "out"); !checked) return checked;
    if (auto known = RequireNumber(*model, Table::kMetadata, number, "metadata entry"); !known) return known;
    HandOutMetadata(model->loaded->model().main().index().metadata(number), out);
    return {};
  });
}

ingot_status ingot_metadata_find(const ingot_model* model, const char* key, size_t key_size, ingot_metadata* out) {
  return Guarded([&]() -> Outcome {
    if (auto there = RequireAll({{model, "model"}, {key, "key"}}); !there) return there;
    if (auto checked = CheckStruct(out, "out"); !checked) return checked;
    const Container& main = model->loaded->model().main();
    const auto record = main.index().FindMetadata({key, key_size});
    if (!record)
      return Refuse(INGOT_E_NOT_FOUND, "{}: there is no metadata key {}", main.path(), Quote({key, key_size}));
    HandOutMetadata(*record, out);
    return {};
  });
}

ingot_status ingot_attachment_at(const ingot_model* model, uint32_t number, ingot_attachment* out) {
  return Guarded([&]() -> Outcome {
    if (auto there = RequireAll({{model, "model"}}); !there) return there;
    if (auto checked = CheckStruct(out, "out"); !checked) return checked;
    if (auto known = RequireNumber(*model, Table::kAttachments, number, "attachment"); !known) return known;
    HandOutAttachment(*model->loaded, number, out);
    return {};
  });
}

ingot_status ingot_attachment_find(const ingot_model* model, const char* name, size_t name_size, ingot_attachment* out,
                                   uint32_t* number) {
  return Guarded([&]() -> Outcome {
    if (auto there = RequireAll({{model, "model"}, {name, "name"}, {number, "number"}}); !there) return there;
    if (auto checked = CheckStruct(out, "out"); !checked) return checked;
    const Container& main = model->loaded->model().main();
    const std::string_view wanted(name, name_size);
    for (uint32_t i = 0; i < main.index().count(Table::kAttachments); ++i) {
      if (main.index().attachment(i).name != wanted) continue;
      HandOutAttachment(*model->loaded, i, out);
      *number = i;
      return {};
    }
    return Refuse(INGOT_E_NOT_FOUND, "{}: there is no attachment {}", main.path(), Quote(wanted));
  });
}

ingot_status ingot_attachment_read(const ingot_model* model, uint32_t number, void* buffer, size_t capacity) {
  return Guarded([&]() -> Outcome {
    if (auto there = RequireAll({{model, "model"}}); !there) return there;
    if (auto known = RequireNumber(*model, Table::kAttachments, number, "attachment"); !known) return known;
    const uint64_t size = model->loaded->AttachmentSize(number);
    if (size == 0) return {};
    if (auto there = RequireAll({{buffer, "buffer"}}); !there) return there;
    if (capacity < size) return Refuse(INGOT_E_ARGUMENT, "the buffer has {} bytes, the attachment {}", capacity, size);
    if (auto read = model->loaded->ReadAttachment(number, {static_cast<std::byte*>(buffer), size}); !read)
      return Pass(read);
    return {};
  });
}

}  // extern "C"

// A file with every kind of record that is edited in place, and a way to look at it.
#pragma once

#include <doctest/doctest.h>

#include <map>
#include <memory>
#include <string>

#include "convert/edit.h"
#include "runtime/container.h"
#include "runtime/validate.h"
#include "tests/support/sample_index.h"
#include "tests/support/temp_directory.h"

namespace ingot::test {

using Text = std::map<std::string, std::string>;

struct Desk {
  explicit Desk(bool compress = false, uint32_t alignment = kDefaultAlignment) {
    path = folder.Write("x.ingot", SampleIndex({.compress = compress}, alignment).Build());
  }

  EditResult Edit(const EditOptions& options) {
    const auto result = EditFile(path, options);
    REQUIRE_MESSAGE(result, (result ? "" : result.error().message));
    CHECK(result->file_bytes == std::filesystem::file_size(path));
    return *result;
  }
  // An edit that must fail and leave every byte as it was.
  Error MustFail(const EditOptions& options) {
    const Bytes before = ReadBytes(path);
    const auto result = EditFile(path, options);
    REQUIRE_FALSE(result);
    CHECK(ReadBytes(path) == before);
    return result.error();
  }
  std::shared_ptr<const Container> Open() const {
    auto container = Container::Open(path);
    REQUIRE_MESSAGE(container, (container ? "" : container.error().message));
    return *container;
  }
  void MustBeValid() const {
    const auto v = ValidateFile(path);
    REQUIRE(v);
    for (const Violation& violation : v->violations)
      FAIL(violation.rule, " ", violation.place, ": ", violation.message);
    CHECK(v->warnings.empty());
  }
  Text Attachments() const {
    Text out;
    const auto container = Open();
    for (uint32_t i = 0; i < container->index().count(Table::kAttachments); ++i) {
      const AttachmentRecord a = container->index().attachment(i);
      const auto bytes = a.plane == kNoRecord ? Bytes{} : container->ReadPlane(a.plane).value();
      out[std::string(a.name)] = std::string(AsText(bytes));
    }
    return out;
  }
  std::string Value(const std::string& key) const {
    const auto container = Open();
    const auto record = container->index().FindMetadata(key);
    return record ? std::string(AsText(record->value)) : "(none)";
  }

  TempDirectory folder;
  std::string path;
};

inline EditOptions Set(const std::string& key, const std::string& value) {
  EditOptions options;
  options.set.emplace_back(key, MetadataValue::String(value));
  return options;
}

}  // namespace ingot::test

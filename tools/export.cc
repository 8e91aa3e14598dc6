// ingot export: an .ingot file back into dense safetensors, into GGUF, or into the folder of another system.
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <functional>
#include <memory>

#include "convert/export_folder.h"
#include "convert/export_gguf.h"
#include "convert/export_safetensors.h"
#include "convert/regex.h"
#include "format/text.h"
#include "tools/command.h"
#include "tools/open_model.h"
#include "tools/output.h"
#include "tools/progress.h"
#include "tools/staged_files.h"

namespace ingot {
namespace {

constexpr std::string_view kSafetensors = "safetensors", kGguf = "gguf", kGptq = "gptq";
// Attachments of these names would take the place of the exported weights, now or for whoever loads the folder.
constexpr std::array<std::string_view, 5> kShadowing = {"model.safetensors", ".model.safetensors.partial",
                                                        "model.safetensors.index.json", "model.gguf",
                                                        ".model.gguf.partial"};

struct DTypeName {
  std::string_view name;
  DType type;
};
constexpr std::array<DTypeName, 3> kDTypes = {{{"f32", DType::kF32}, {"f16", DType::kF16}, {"bf16", DType::kBF16}}};

// The dtype asked for; the command line has been checked.
std::optional<DType> DTypeOf(const ExportArguments& options) {
  for (const DTypeName& row : kDTypes) {
    if (options.dtype == row.name) return row.type;
  }
  return std::nullopt;
}

// The numbers of the tensors to export.
Result<std::vector<uint32_t>> Select(const Model& model, const ExportArguments& options) {
  std::optional<Regex> include;
  if (options.include) {
    auto regex = Regex::Compile(*options.include);
    if (!regex) return Fail(ErrorCode::kUsage, "--include: {}", regex.error().message);
    include = std::move(*regex);
  }
  std::vector<uint32_t> numbers;
  for (uint32_t i = 0; i < model.tensor_count(); ++i) {
    if (include) {
      const auto matches = include->Matches(model.tensor(i).name);
      if (!matches) return Propagate(matches);
      if (!*matches) continue;
    }
    numbers.push_back(i);
  }
  if (include && numbers.empty()) {
    return Fail(ErrorCode::kUsage, "--include {}: none of {} matches", *options.include,
                Counted(model.tensor_count(), "tensor"));
  }
  return numbers;
}

bool IsFolder(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

// Where to write: a file alone, or a file in a folder with the attachments beside it.
struct Target {
  std::string file;
  std::string folder;    // with a slash; empty: no attachments
  bool created = false;  // the folder is new
  // Files that a format adds, or that it takes out: attachments of these names are not written.
  std::vector<FolderPlan::File> files;
};

bool IsReplaced(std::string_view attachment, const Target& target) {
  return std::any_of(target.files.begin(), target.files.end(),
                     [&](const FolderPlan::File& file) { return file.name == attachment; });
}

// Why an attachment is not written into a folder; empty if it is. Hidden files may be what configures a program or lets
// somebody log in, so a file from a stranger does not get to place them in a folder that is in use.
std::string_view ReasonToLeaveOut(std::string_view name, const Target& target) {
  if (std::find(kShadowing.begin(), kShadowing.end(), name) != kShadowing.end()) {
    return "it would hide the exported weights";
  }
  const bool hidden = name.front() == '.' || name.find("/.") != std::string_view::npos;
  return hidden && !target.created ? "hidden files are only written into a new folder" : "";
}

// The attachments of a model, written into a folder ("out/") but not yet under their names. These are safe: the index
// was validated.
Status StageAttachments(const Model& model, const Target& place, StagedFiles& files) {
  const Index& index = model.main().index();
  for (uint32_t i = 0; i < index.count(Table::kAttachments); ++i) {
    const AttachmentRecord attachment = index.attachment(i);
    if (IsReplaced(attachment.name, place)) continue;
    if (const auto reason = ReasonToLeaveOut(attachment.name, place); !reason.empty()) {
      Complain(fmt::format("warning: attachment '{}' is left out: {}", attachment.name, reason));
      continue;
    }
    const size_t folder_size = attachment.name.rfind('/') + 1;  // 0 without one
    const std::string folder = place.folder + std::string(attachment.name.substr(0, folder_size));
    if (folder_size > 0) {
      if (auto made = files.AddFolder(folder.substr(0, folder.size() - 1)); !made) return made;
    }
    std::vector<std::byte> bytes;
    if (attachment.plane != kNoRecord) {
      auto read = model.main().ReadPlane(attachment.plane);
      if (!read) return Propagate(read);
      bytes = std::move(*read);
    }
    if (auto added = files.Add(folder, std::string(attachment.name.substr(folder_size)), bytes); !added) return added;
  }
  for (const FolderPlan::File& file : place.files) {
    if (file.text.empty()) continue;
    if (auto added = files.Add(place.folder, file.name, AsBytes(file.text)); !added) return added;
  }
  return {};
}

// Refuses, before anything is decoded, what exists (without --force) or is a file that is being read.
Status CheckTargets(const Model& model, const Target& place, const ExportArguments& options) {
  const Index& index = model.main().index();
  std::vector<std::string> files = {place.file};
  for (uint32_t i = 0; i < index.count(Table::kAttachments) && !place.folder.empty(); ++i) {
    const std::string_view name = index.attachment(i).name;
    if (ReasonToLeaveOut(name, place).empty() && !IsReplaced(name, place))
      files.push_back(place.folder + std::string(name));
  }
  for (const FolderPlan::File& file : place.files) {
    if (!file.text.empty() && !place.folder.empty()) files.push_back(place.folder + file.name);
  }
  for (const std::string& file : files) {
    struct stat info;
    if (lstat(file.c_str(), &info) != 0) continue;
    std::error_code error;
    for (const auto& container : model.containers()) {
      if (std::filesystem::equivalent(file, container->path(), error)) {
        return Fail(ErrorCode::kUsage, "{}: is what is exported, or a part of it", file);
      }
    }
    if (!options.force) return Fail(ErrorCode::kUsage, "{}: exists; --force replaces it", file);
  }
  return {};
}

// "out.gguf: 3 tensors (1 decoded), 2.1 KiB, 4 attachments beside it, 0.10 GB/s"
void PrintSummary(const std::string& target, uint64_t tensors, const std::string& note, uint64_t bytes,
                  uint64_t attachments, double seconds) {
  Print("{}: {} ({}), {}", WithoutControls(target), Counted(tensors, "tensor"), note, HumanBytes(bytes));
  if (attachments > 0) Print(", {} beside it", Counted(attachments, "attachment"));
  Print(", {:.2f} GB/s\n", static_cast<double>(bytes) / 1e9 / seconds);
}

uint64_t CountAliases(const Model& model, const auto& tensors) {
  uint64_t aliases = 0;
  for (const auto& tensor : tensors) aliases += model.is_alias(tensor.number);
  return aliases;
}

// What a format adds: how the file is written, and what is said of it.
struct Writer {
  std::function<Status(OutputFile& out, const ProgressFn& progress)> write;
  std::function<void(const std::string& target, uint64_t attachments, double seconds)> print;
};

Status WriteModel(const Model& model, const Writer& writer, const Target& place, const ExportArguments& options) {
  if (auto free = CheckTargets(model, place, options); !free) return free;
  auto progress = std::make_unique<Progress>("exporting", options.quiet);
  auto out = OutputFile::Create(place.file, options.force);
  if (!out) return Propagate(out);
  if (auto written = writer.write(*out, progress->fn()); !written) return written;
  const double seconds = progress->seconds();
  progress.reset();
  // All is on the disk before anything gets its name; the model, without which the rest is of no use, last.
  if (auto flushed = out->Flush(); !flushed) return flushed;
  StagedFiles attachments;
  if (!place.folder.empty()) {
    if (auto staged = StageAttachments(model, place, attachments); !staged) return staged;
    if (auto placed = attachments.Commit(options.force); !placed) return placed;
  }
  if (auto done = out->Commit(); !done) return done;
  if (!options.quiet) writer.print(place.file, attachments.count(), seconds);
  return {};
}

// Makes the folder that DST asks for, if it does.
Result<Target> FindTarget(const std::string& path, std::string_view format) {
  Target target;
  target.file = path;
  if (path.back() != '/' && !IsFolder(path)) return target;
  target.folder = path.back() == '/' ? path : path + "/";
  target.file = fmt::format("{}model.{}", target.folder, format);
  if (IsFolder(target.folder)) return target;
  const std::string bare = path.substr(0, path.find_last_not_of('/') + 1);
  if (mkdir(bare.c_str(), 0777) != 0) {
    const bool exists = errno == EEXIST;
    return exists ? Fail(ErrorCode::kUsage, "{}: exists and is not a folder", bare)
                  : Fail(ErrorCode::kIo, "{}: cannot create the folder: {}", bare, std::strerror(errno));
  }
  target.created = true;
  return target;
}

// Writes what was planned to where `target` says; `files` take the place of attachments of their names.
Result<int> WriteTo(const Model& model, const Writer& writer, std::string_view format, const std::string& target,
                    std::vector<FolderPlan::File> files, const ExportArguments& options) {
  auto place = FindTarget(target, format);
  if (!place) return Propagate(place);
  place->files = std::move(files);
  if (auto written = WriteModel(model, writer, *place, options); !written) {
    if (place->created) rmdir(place->folder.c_str());  // only if nothing is in it
    return Propagate(written);
  }
  return kExitFine;
}

// Safetensors, with the files that belong to it; dense tensors and packed ones.
Result<int> WriteSafetensors(const Model& model, const FolderPlan& folder, const std::string& target,
                             const ExportArguments& options) {
  const SafetensorsPlan& plan = folder.weights;
  const auto print = [&](const std::string& file, uint64_t attachments, double seconds) {
    const auto& tensors = plan.tensors();
    const auto decoded = std::count_if(tensors.begin(), tensors.end(), [](const auto& t) { return !t.verbatim; });
    std::string note = fmt::format("{} decoded", decoded);
    if (!plan.packed().empty()) note += fmt::format(", {} quantized", plan.packed().size());
    PrintSummary(file, tensors.size() + plan.packed().size(), note, plan.file_size(), attachments, seconds);
    for (const std::string& remark : folder.notes) Print("note: {}\n", remark);
    const uint64_t aliases = CountAliases(model, tensors);
    if (aliases == 0) return;
    Print("note: safetensors has no aliases; {} written once more under the second name\n",
          aliases == 1 ? "1 tied tensor is" : fmt::format("{} tied tensors are", aliases));
  };
  const auto write = [&](OutputFile& out, const ProgressFn& progress) { return plan.Write(model, out, progress); };
  return WriteTo(model, {write, print}, kSafetensors, target, folder.files, options);
}

Result<int> ExportSafetensors(const Model& model, const std::vector<uint32_t>& numbers,
                              const ExportArguments& options) {
  auto plan = SafetensorsPlan::Make(model, numbers, DTypeOf(options));
  if (!plan) return Propagate(plan);
  return WriteSafetensors(model, {std::move(*plan), DenseFiles(model), {}}, options.target, options);
}

// GPTQ and compressed-tensors: always a folder.
Result<int> ExportFolder(const Model& model, const std::vector<uint32_t>& numbers, std::string_view format,
                         const ExportArguments& options) {
  const FolderOptions wanted{numbers, DTypeOf(options), options.requantize};
  auto plan = format == kGptq ? PlanGptq(model, wanted) : PlanCompressedTensors(model, wanted);
  if (!plan) return Propagate(plan);
  const std::string folder = options.target.back() == '/' ? options.target : options.target + "/";
  return WriteSafetensors(model, *plan, folder, options);
}

Result<int> ExportGguf(const Model& model, const std::vector<uint32_t>& numbers, const ExportArguments& options) {
  if (options.dtype) return Fail(ErrorCode::kUsage, "--dtype is for --format safetensors");
  const std::string name = std::filesystem::path(options.file).stem().string();
  const auto plan = GgufPlan::Make(model, numbers, {options.requantize, Escape(name)});
  if (!plan) return Propagate(plan);
  const auto print = [&](const std::string& target, uint64_t attachments, double seconds) {
    const auto& tensors = plan->tensors();
    const auto is = [](GgufWay way) { return [way](const GgufTensorPlan& t) { return t.way == way; }; };
    const auto blocks = std::count_if(tensors.begin(), tensors.end(), is(GgufWay::kRepack)),
               decoded = std::count_if(tensors.begin(), tensors.end(), is(GgufWay::kDecode));
    PrintSummary(target, tensors.size(), fmt::format("{} from planes to blocks, {} decoded", blocks, decoded),
                 plan->file_size(), attachments, seconds);
    if (plan->origin() == GgufPlan::Origin::kOther)
      Print("note: there is neither GGUF metadata nor a config.json; the tensors keep their names\n");
  };
  const auto write = [&](OutputFile& out, const ProgressFn& progress) { return plan->Write(model, out, progress); };
  return WriteTo(model, {write, print}, kGguf, options.target, {}, options);
}

}  // namespace

Result<int> RunExport(const ExportArguments& options) {
  if (options.target.empty()) return Fail(ErrorCode::kUsage, "DST is empty");
  const std::string_view format = options.format                      ? std::string_view(*options.format)
                                  : options.target.ends_with(".gguf") ? kGguf
                                                                      : kSafetensors;
  if (options.requantize && format == kSafetensors)
    return Fail(ErrorCode::kUsage, "--requantize is for the other formats; safetensors gets all tensors decoded");
  const auto model = OpenModel(options.file);
  if (!model) return Propagate(model);
  const auto numbers = Select(**model, options);
  if (!numbers) return Propagate(numbers);
  if (format == kGguf) return ExportGguf(**model, *numbers, options);
  if (format == kSafetensors) return ExportSafetensors(**model, *numbers, options);
  return ExportFolder(**model, *numbers, format, options);
}

}  // namespace ingot

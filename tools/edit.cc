// ingot edit: changes metadata and attachments in place.
#include "convert/edit.h"

#include "format/report.h"
#include "tools/command.h"
#include "tools/output.h"
#include "tools/progress.h"

namespace ingot {
namespace {}  // namespace

Result<int> RunEdit(const EditArguments& options) {
  EditOptions edit;
  for (const std::string& text : options.set) {
    auto pair = ParseMetadata(text);
    if (!pair) return Propagate(pair);
    edit.set.push_back(std::move(*pair));
  }
  for (const std::string& text : options.attach) {
    const size_t equals = text.find('=');
    if (equals == std::string::npos) return Fail(ErrorCode::kUsage, "--attach '{}': expected NAME=PATH", Escape(text));
    edit.attach.emplace_back(text.substr(0, equals), text.substr(equals + 1));
  }
  edit.remove = options.remove;
  edit.detach = options.detach;
  edit.compact = options.compact;
  auto result = [&] {
    Progress progress("compacting", options.quiet || options.json);
    edit.progress = progress.fn();
    return EditFile(options.file, edit);
  }();
  if (!result) return Propagate(result);
  if (options.json) {
    Write(Dump(Json{{"changed", result->changed},
                    {"repaired", result->repaired},
                    {"compacted", result->compacted},
                    {"generation", result->generation},
                    {"cut_bytes", result->cut_bytes},
                    {"dead_bytes", result->dead_bytes},
                    {"file_bytes", result->file_bytes}}) +
          "\n");
    return kExitFine;
  }
  if (options.quiet) return kExitFine;
  if (result->repaired) Print("a damaged header slot was written again from the good one\n");
  if (result->cut_bytes != 0)
    Print("{} of an earlier edit that did not finish were cut off\n", HumanBytes(result->cut_bytes));
  Print(
      "{}: {}, generation {}, {}{}\n", WithoutControls(options.file),
      result->compacted ? "compacted"
      : result->changed ? "changed"
                        : "unchanged",
      result->generation, HumanBytes(result->file_bytes),
      result->dead_bytes == 0 ? "" : fmt::format(", {} dead (--compact removes them)", HumanBytes(result->dead_bytes)));
  return kExitFine;
}

}  // namespace ingot

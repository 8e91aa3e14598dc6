// ingot edit: changes metadata and attachments in place.
#include "convert/edit.h"

#include <memory>

#include "format/report.h"
#include "tools/command.h"
#include "tools/output.h"
#include "tools/progress.h"

namespace ingot {
namespace {

struct Options {
  std::string file;
  std::vector<std::string> set, remove, attach, detach;
  bool compact = false, quiet = false, json = false;
};

Result<int> RunEdit(const Options& options) {
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

}  // namespace

void AddEdit(CLI::App& app, Runner& runner) {
  const auto o = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("edit", "Change metadata and attachments of an .ingot file in place");
  command->add_option("FILE", o->file, "the file to edit")->required();
  command->add_option("--set", o->set, "KEY=VALUE (a string) or KEY:TYPE=VALUE with bool, u8 to i64, f32, f64, string")
      ->take_all()
      ->expected(1)
      ->allow_extra_args(false);
  command->add_option("--remove", o->remove, "a metadata key")->take_all()->expected(1)->allow_extra_args(false);
  command->add_option("--attach", o->attach, "NAME=PATH: attach a file under a name, or replace it")
      ->take_all()
      ->expected(1)
      ->allow_extra_args(false);
  command->add_option("--detach", o->detach, "the name of an attachment")
      ->take_all()
      ->expected(1)
      ->allow_extra_args(false);
  command->add_flag("--compact", o->compact, "rewrite the file without what edits left behind");
  command->add_flag("--quiet", o->quiet, "print nothing");
  command->add_flag("--json", o->json, "the outcome as JSON");
  runner.Add(command, [o] { return RunEdit(*o); });
}

}  // namespace ingot

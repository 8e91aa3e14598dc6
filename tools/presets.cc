// ingot presets: the recipes that ship with the tool.
#include <algorithm>

#include "convert/recipe.h"
#include "tools/command.h"
#include "tools/output.h"

namespace ingot {
namespace {

int PrintJson() {
  Json presets = Json::array();
  for (const Preset& preset : Presets()) {
    presets.push_back({{"name", preset.name},
                       {"description", preset.description},
                       {"recipe", Json::parse(RecipeToJson(preset.recipe))}});
  }
  Write(Json{{"presets", presets}}.dump(2) + "\n");
  return kExitFine;
}

int PrintTable() {
  size_t width = 0;
  for (const Preset& preset : Presets()) width = std::max(width, preset.name.size());
  for (const Preset& preset : Presets()) {
    Print("{}  {}\n", Bold(fmt::format("{:<{}}", preset.name, width)), preset.description);
    for (const Rule& rule : preset.recipe.rules) {
      Print("{}\n", Dim(fmt::format("{:<{}}  {} -> {}", "", width, rule.match, MethodToText(rule.method))));
    }
  }
  Print("\nUse one with `ingot convert SRC DST --preset NAME`. `--json` prints the recipes as files for `--recipe`.\n");
  return kExitFine;
}

}  // namespace

Result<int> RunPresets(const PresetsArguments& arguments) { return arguments.json ? PrintJson() : PrintTable(); }

}  // namespace ingot

#include "tools/bench/tables.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <map>

#include "tools/output.h"

namespace ingot::bench {
namespace {

// Distinct texts in the order in which they came.
class Names {
 public:
  size_t Place(const std::string& name) {
    const auto at = static_cast<size_t>(std::find(names_.begin(), names_.end(), name) - names_.begin());
    if (at == names_.size()) names_.push_back(name);
    return at;
  }
  const std::vector<std::string>& all() const { return names_; }

 private:
  std::vector<std::string> names_;
};

std::string CellText(const Figure& f) {
  return fmt::format("{:.{}f}{:>9}", f.share, f.share < 10 ? 2 : 1,
                     fmt::format("({:.{}f})", f.value, f.value < 10 ? 2 : 1));
}

// A line for each row of a section, a cell for each column: the share, and the value in brackets.
void PrintSection(const std::string& section, const std::vector<Figure>& all) {
  Names rows, columns, yardsticks;
  std::map<std::pair<size_t, size_t>, std::string> cells;
  std::string unit;
  for (const Figure& f : all) {
    if (f.section != section) continue;
    if (unit.empty()) unit = f.unit;
    const size_t row = rows.Place(f.unit == unit ? f.row : f.row + ", " + f.unit);
    cells[{row, columns.Place(f.column)}] = CellText(f);
    yardsticks.Place(f.yardstick);
  }
  size_t width = 0;
  for (const std::string& row : rows.all()) width = std::max(width, row.size());
  Print("\n{}: share of {} ({})\n", Bold(section), fmt::join(yardsticks.all(), "; "), unit);
  Print("{:{}}", "", width + 2);
  for (const std::string& column : columns.all()) Print("  {:>19}", column);
  for (size_t r = 0; r < rows.all().size(); ++r) {
    Print("\n  {:{}}", WithoutControls(rows.all()[r]), width);
    for (size_t c = 0; c < columns.all().size(); ++c) Print("  {:>19}", cells[{r, c}]);
  }
  Print("\n");
}

}  // namespace

void PrintSections(const std::vector<Figure>& all) {
  Names sections;
  for (const Figure& f : all) sections.Place(f.section);
  for (const std::string& section : sections.all()) PrintSection(section, all);
}

}  // namespace ingot::bench

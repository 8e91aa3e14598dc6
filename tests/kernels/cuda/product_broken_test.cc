// Products with something left out must fail under the executor, or give a wrong result: the kernels' own source, with
// a barrier, a wait or a step of a shuffle that can be taken away.
#include "kernels/cuda/tensor.cuh"

namespace ingot::cuda {
namespace {

enum class Broken { kNothing, kBarrier, kWait, kShuffle };
Broken broken = Broken::kNothing;

inline void MaybeBarrier() {
  if (broken != Broken::kBarrier) BlockBarrier();
}
template <int kOpen>
inline void MaybeWait() {
  if (broken != Broken::kWait) WaitForCopies<kOpen>();
}
inline uint32_t MaybeShuffleXor(uint32_t value, uint32_t bits) {
  return ShuffleXor(value, broken == Broken::kShuffle && bits == 4 ? 8 : bits);
}

}  // namespace
}  // namespace ingot::cuda

// The kernels once more, in a namespace of their own.
#define BlockBarrier MaybeBarrier
#define WaitForCopies MaybeWait
#define ShuffleXor MaybeShuffleXor
#define ProductTiles BrokenProductTiles
#define StageCopies BrokenStageCopies
#define RawElements BrokenRawElements
#define GroupChunk BrokenGroupChunk
#define OpenGroup BrokenOpenGroup
#define CodesByTable BrokenCodesByTable
#define WayOf BrokenWayOf
#define Tiles BrokenTiles
#define FinishProduct BrokenFinishProduct
#define ProductAny BrokenProductAny
#define OpenOperands BrokenOpenOperands
#define ReduceWarp BrokenReduceWarp
#define FindScales BrokenFindScales
#define FindLargeColumns BrokenFindLargeColumns
#define ListLargeColumns BrokenListLargeColumns
#define LargestOfWarp BrokenLargestOfWarp
#define Arrange BrokenArrange
#define SumGroups BrokenSumGroups
#include "kernels/cuda/product_any.cuh"
#include "kernels/cuda/product_tiles.cuh"
#undef BlockBarrier
#undef WaitForCopies
#undef ShuffleXor
#undef Tiles
#undef ProductTiles
#undef Arrange

#include "kernels/cuda/product_kernels.h"
#include "tests/kernels/cuda/product_run.h"

namespace ingot::test {
namespace {

using cuda::Broken;

cuda::ProductFunction FunctionFor(const cuda::ProductStep& step) {
  if (step.kernel == cuda::ProductKernel::kAny) return &cuda::BrokenProductAny;
  if (step.kernel == cuda::ProductKernel::kFinish) return &cuda::BrokenFinishProduct;
  if (step.book) return &cuda::BrokenProductTiles<cuda::F16Math, 4, true, 1, cuda::Groups::kAny>;
  return step.groups == cuda::Groups::kPairs
             ? &cuda::BrokenProductTiles<cuda::F16Math, 4, false, 1, cuda::Groups::kPairs>
             : &cuda::BrokenProductTiles<cuda::F16Math, 4, false, 1, cuda::Groups::kAny>;
}

// What goes wrong: the executor's error, "wrong" or nothing.
std::string Outcome(const Linear& l, Broken what, uint64_t x_rows, unsigned seed) {
  Dice dice(41, false);
  ProductMatrix m(dice.Fill(l));
  ProductCase c;
  c.x_rows = x_rows, c.seed = seed;
  ProductRun run(m, c, dice);
  run.run_step = [](simt::Memory& memory, const cuda::ProductStep& step, unsigned order) {
    if (step.kernel < cuda::ProductKernel::kTiles) return RunStep(memory, step, order);
    const simt::LaunchOptions options = {
        .grid = step.grid, .block = step.block, .dynamic_shared = step.shared_bytes, .seed = order};
    const cuda::ProductFunction function = FunctionFor(step);
    return simt::Launch(memory, options, [&] { function(step.product); }).error;
  };
  cuda::broken = what;
  const std::string error = run.Run();
  cuda::broken = Broken::kNothing;
  return !error.empty() ? error : run.Worst() <= 1 ? "" : "wrong";
}

Linear FourBits() {
  Linear l;
  l.bits = 4, l.rows = 20, l.cols = 2048, l.group_rows = 1, l.group_cols = 128;
  l.s = Operand::Array(DType::kF16);
  return l;
}

TEST_CASE("a product without a barrier is a race") {
  Linear book = FourBits();
  book.codebook = true, book.cols = 256;
  for (unsigned seed = 0; seed < 4; ++seed) {
    for (uint64_t x_rows : {1, 3}) {
      CHECK(Outcome(FourBits(), Broken::kNothing, x_rows, seed) == "");
      CHECK(Outcome(FourBits(), Broken::kBarrier, x_rows, seed) != "");
    }
    CHECK(Outcome(book, Broken::kNothing, 1, seed) == "");
    CHECK(Outcome(book, Broken::kBarrier, 1, seed) != "");
  }
}

TEST_CASE("a product without a wait uses data that is not there yet") {
  for (unsigned seed = 0; seed < 4; ++seed) {
    for (uint64_t x_rows : {1, 3}) CHECK(Outcome(FourBits(), Broken::kWait, x_rows, seed) != "");
  }
}

TEST_CASE("a product with a wrong shuffle is wrong") {
  Linear l = FourBits();
  l.cols = 300, l.group_cols = 7;  // not for tensor cores
  for (unsigned seed = 0; seed < 4; ++seed) {
    CHECK(Outcome(l, Broken::kNothing, 2, seed) == "");
    CHECK(Outcome(l, Broken::kShuffle, 2, seed) == "wrong");
  }
}

}  // namespace
}  // namespace ingot::test

// The instantiations of the products on tensor cores for what is multiplied.
#pragma once

#include "kernels/cuda/product_kernels.h"
#include "kernels/cuda/product_tiles.cuh"

namespace ingot::cuda {

template <class Math, int kBits>
ProductFunction OneRowFor(Groups groups) {
  switch (groups) {
    case Groups::kHalves:
      return &ProductTiles<Math, kBits, false, 1, Groups::kHalves>;
    case Groups::kUnits:
      return &ProductTiles<Math, kBits, false, 1, Groups::kUnits>;
    case Groups::kPairs:
      return &ProductTiles<Math, kBits, false, 1, Groups::kPairs>;
    case Groups::kRow:
      return &ProductTiles<Math, kBits, false, 1, Groups::kRow>;
    default:
      return nullptr;
  }
}

template <class Math, int kBits, bool kBook>
ProductFunction TilesFor(const ProductStep& step) {
  if constexpr (!kBook && kBits != 16 && Math::kArrangement == Arrangement::kF16) {
    if (step.groups != Groups::kAny) return OneRowFor<Math, kBits>(step.groups);
  }
  if (step.tiles == 1) return &ProductTiles<Math, kBits, kBook, 1, Groups::kAny>;
  if (step.tiles == 2) return &ProductTiles<Math, kBits, kBook, 2, Groups::kAny>;
  return &ProductTiles<Math, kBits, kBook, 4, Groups::kAny>;
}

template <class Math, bool kBook>
ProductFunction TilesFor(const ProductStep& step) {
  switch (step.bits) {
    case 2:
      return TilesFor<Math, 2, kBook>(step);
    case 3:
      return TilesFor<Math, 3, kBook>(step);
    case 4:
      return TilesFor<Math, 4, kBook>(step);
    case 8:
      return TilesFor<Math, 8, kBook>(step);
    case 16:  // raw elements
      if constexpr (!kBook && Math::kBytes == 2) return TilesFor<Math, 16, false>(step);
      return nullptr;
    default:
      return nullptr;
  }
}

}  // namespace ingot::cuda

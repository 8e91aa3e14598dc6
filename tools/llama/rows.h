// Loops over rows of activations: what a layer does beside products and attention. Sums are added up in a fixed order,
// so that all processors give the same bits.
#pragma once

#include <cstdint>

namespace llama {

// x / sqrt(mean of x^2 + epsilon) * weight.
void NormRow(const float* x, const float* weight, uint64_t width, float epsilon, float* out);

// silu(gate) * up, into gate.
void SwiGlu(float* gate, const float* up, uint64_t count);

void AddRow(float* to, const float* from, uint64_t count);

// ln of the sum of e^x.
double LogSumExp(const float* x, uint64_t count);

}  // namespace llama

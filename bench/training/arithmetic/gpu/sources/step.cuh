// The end of a step: gradients of parameters, gradient descent, and the clock.
#pragma once

#include "common.cuh"

enum Kind { FILTER, BIAS, GIVEN, WIDE };

// A parameter (run, `count` values) with its velocity, and what its gradient is made of:
// FILTER: (run, image, tap, input, output), and the filter has copies for the kernels: `packed` (tap, input, output),
//     `flipped` (tap from the last one, output, input), or null.
// BIAS: sums of columns (run, image, column, output).
// GIVEN: the gradient itself (run, value).
// WIDE: the gradient of each image, in float64 (run, image, value).
struct Parameter {
    float *values, *velocities, *packed, *flipped;
    const float *parts;
    Count kind, count, outputs, inputs, taps, width, trains;
};

// Where the weight number i of the order (tap, input, output) is in the order (output, input, tap) of the parameter.
__device__ inline int place_of_weight(const Parameter &p, int i)
{
    const int o = i % p.outputs, c = i / p.outputs % p.inputs, tap = i / p.outputs / p.inputs;
    return (o * p.inputs + c) * p.taps + tap;
}

__device__ inline void pack(const Parameter &p, int i, float value)
{
    const int o = i % p.outputs, c = i / p.outputs % p.inputs, tap = i / p.outputs / p.inputs;
    p.packed[run() * p.count + i] = value;
    if (p.flipped) p.flipped[run() * p.count + ((p.taps - 1 - tap) * p.outputs + o) * p.inputs + c] = value;
}

// Write the copies of the filter blockIdx.y. A thread takes a weight.
extern "C" __global__ void pack_filters(const Parameter *parameters)
{
    const Parameter p = parameters[blockIdx.y];
    if (p.kind == FILTER && thread() < p.count) pack(p, thread(), p.values[run() * p.count + place_of_weight(p, thread())]);
}

__device__ inline float gradient_of(const Parameter &p, int i, int images)
{
    if (p.kind == GIVEN) return p.parts[run() * p.count + i];
    if (p.kind == WIDE) {
        const double *parts = (const double *)p.parts + run() * images * p.count + i;
        double sum = 0;
        for (int n = 0; n < images; n++) sum += parts[n * p.count];
        return (float)sum;
    }
    const size_t step = p.kind == FILTER ? p.count : p.width * p.count;
    const float *from = p.parts + run() * images * step + i;
    double total = 0;
    if (p.kind == FILTER) {
#pragma unroll 8
        for (int n = 0; n < images; n++) total += (double)from[n * step];
        return (float)total;
    }
    for (int w = 0; w < p.width; w++) {
        double column = 0;
#pragma unroll 8
        for (int n = 0; n < images; n++) column += (double)from[n * step + w * p.count];
        total += column;
    }
    return (float)total;
}

// Take a step of gradient descent with momentum for the parameter blockIdx.y. A thread takes a value.
extern "C" __global__ void descend(const Parameter *parameters, const Clock *clock, Count images)
{
    const Parameter p = parameters[blockIdx.y];
    const int i = thread();
    if (i >= p.count || !p.trains) return;
    const float gradient = gradient_of(p, i, images);
    const size_t at = run() * p.count + (p.kind == FILTER ? place_of_weight(p, i) : i);
    const float velocity = __fmaf_rn((float)clock->momentum, p.velocities[at], gradient);
    const float value = __fmaf_rn(-(float)clock->rate, velocity, p.values[at]);
    p.velocities[at] = velocity;
    p.values[at] = value;
    if (p.kind == FILTER) pack(p, i, value);
}

// Go on to the next batch. All runs have one clock.
extern "C" __global__ void tick(Clock *clock, Count images)
{
    if (run() > 0) return;
    clock->step += 1;
    clock->first += images;
}

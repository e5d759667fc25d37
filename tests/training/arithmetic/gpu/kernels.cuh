// A training step in exact arithmetic, as a GPU computes it. docs/arithmetic.md defines the order of every sum.
//
// Values are (seed, image, row, column, channel), filters (seed, output, input, row, column), both contiguous. The seed
// is blockIdx.z: all seeds run at once, and no sum crosses them. Sizes of blocks and tiles change the speed and no bit.
// Compile with `nvcc -fmad=false`, or give it to NVRTC with that option, or to g++ behind host.h.

struct Shape {
    int images, height, width, channels;
};

extern __shared__ float room[];  // the shared memory of a block; the launch gives its size

__device__ inline size_t seed() { return blockIdx.z; }
__device__ inline int thread() { return blockIdx.x * blockDim.x + threadIdx.x; }

#include "convolution.cuh"
#include "loss.cuh"
#include "normalisation.cuh"

// A step of gradient descent with momentum. A thread takes one of the `count` weights of a seed.
extern "C" __global__ void descend(
    float *weight, float *velocity, const float *gradient, float momentum, float rate, int count)
{
    if (thread() >= count) return;
    const size_t at = seed() * count + thread();
    velocity[at] = __fmaf_rn(momentum, velocity[at], gradient[at]);
    weight[at] = __fmaf_rn(-rate, velocity[at], weight[at]);
}

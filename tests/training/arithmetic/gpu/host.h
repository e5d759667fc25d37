// Stands for a GPU: runs the kernels of kernels.cuh on the host, one block after the other. Each thread of a block is a
// coroutine with a stack of its own. __syncthreads lets the other threads of the block come to the same place.
#pragma once

#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <utility>
#include <vector>

#define __global__
#define __device__ static
#define __shared__

using std::min;

struct Index {
    unsigned x, y, z;
};
static Index threadIdx, blockIdx, blockDim, gridDim;
alignas(16) float room[227 * 1024 / sizeof(float)];  // what a block of an H100 may have

static inline float __fmaf_rn(float a, float b, float c) { return std::fmaf(a, b, c); }
static inline double __fma_rn(double a, double b, double c) { return std::fma(a, b, c); }

static inline double __longlong_as_double(long long bits)
{
    double value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

static inline long long __double_as_longlong(double value)
{
    long long bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}

struct Thread {
    ucontext_t context;
    std::vector<char> stack = std::vector<char>(1 << 15);
    bool is_done;
};
static ucontext_t scheduler;
static std::vector<Thread> threads;
static std::function<void()> body;

static void start(unsigned number)
{
    body();
    threads[number].is_done = true;
}

static void __syncthreads()
{
    swapcontext(&threads[threadIdx.x].context, &scheduler);
}

// Run one block with so many bytes of shared memory: every thread in turn, from barrier to barrier, until all are done.
// Shared memory begins as NaN. Say whether the block left what is behind its share alone.
static bool run_block(std::size_t bytes)
{
    std::memset(room, -1, sizeof room);
    for (unsigned i = 0; i < blockDim.x; i++) {
        Thread &one = threads[i];
        getcontext(&one.context);
        one.context.uc_stack.ss_sp = one.stack.data();
        one.context.uc_stack.ss_size = one.stack.size();
        one.context.uc_link = &scheduler;
        one.is_done = false;
        makecontext(&one.context, (void (*)())start, 1, i);
    }
    for (bool is_busy = true; is_busy;) {
        is_busy = false;
        for (unsigned i = 0; i < blockDim.x; i++) {
            threadIdx = {i, 0, 0};
            if (threads[i].is_done) continue;
            swapcontext(&scheduler, &threads[i].context);
            is_busy = is_busy || !threads[i].is_done;
        }
    }
    const char *first = (const char *)room + bytes, *last = (const char *)room + sizeof room;
    return std::all_of(first, last, [](char byte) { return byte == -1; });
}

// Run a grid of {x, y, z} blocks. The arguments are pointers, as cuLaunchKernel takes them.
template <class... Types, std::size_t... Numbers>
static bool launch(
    void (*kernel)(Types...), const unsigned *grid, unsigned block, unsigned bytes, void **arguments,
    std::index_sequence<Numbers...>)
{
    body = [=] { kernel(*static_cast<Types *>(arguments[Numbers])...); };
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {block, 1, 1};
    if (threads.size() < block) threads.resize(block);
    bool is_sound = bytes <= sizeof room;
    for (blockIdx.z = 0; blockIdx.z < grid[2]; blockIdx.z++)
        for (blockIdx.y = 0; blockIdx.y < grid[1]; blockIdx.y++)
            for (blockIdx.x = 0; blockIdx.x < grid[0] && is_sound; blockIdx.x++) is_sound = run_block(bytes);
    return is_sound;
}

template <class... Types>
static bool launch(void (*kernel)(Types...), const unsigned *grid, unsigned block, unsigned bytes, void **arguments)
{
    return launch(kernel, grid, block, bytes, arguments, std::index_sequence_for<Types...>());
}

// Let a kernel be launched from outside.
#define ENTRY(kernel)                                                                                             \
    extern "C" bool launch_##kernel(const unsigned *grid, unsigned block, unsigned bytes, void **arguments)       \
    {                                                                                                             \
        return launch(kernel, grid, block, bytes, arguments);                                                     \
    }

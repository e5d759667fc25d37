// Stands for a GPU: the host's compiler makes a library of kernels from their source behind this header. It runs one
// block after the other. Each thread of a block is a coroutine with a stack of its own; __syncthreads lets the other
// threads of the block come to the same place. Every second launch of a kernel takes blocks and threads in the reverse
// order: where a thread reads what another one writes, without a barrier between them, one of the two orders shows it.
#pragma once

#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#define __align__(bytes) __attribute__((aligned(bytes)))
#define __constant__ static const
#define __device__
#define __global__
#define __host__
#define __launch_bounds__(threads)
#define __shared__

using std::min;

struct Index {
    unsigned x, y, z;
};
static Index threadIdx, blockIdx, blockDim, gridDim;
alignas(16) float room[227 * 1024 / sizeof(float)];  // what a block of an H100 may have

static inline float __fmaf_rn(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
static inline double __fma_rn(double a, double b, double c) { return __builtin_fma(a, b, c); }
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b)
{
    return (unsigned __int128)a * b >> 64;
}

template <class To, class From>
static inline To bits_as(From from)
{
    To to;
    static_assert(sizeof to == sizeof from);
    std::memcpy(&to, &from, sizeof to);
    return to;
}
static inline double __longlong_as_double(long long bits) { return bits_as<double>(bits); }
static inline long long __double_as_longlong(double value) { return bits_as<long long>(value); }
static inline float __uint_as_float(unsigned bits) { return bits_as<float>(bits); }

struct Thread {
    std::unique_ptr<char[]> stack;
    ucontext_t context;
    jmp_buf place;
    bool is_done;
};
static constexpr std::size_t STACK = 1 << 15;
static jmp_buf scheduler;
static std::vector<Thread> threads;
static std::function<void()> body;

// A coroutine: it runs the body whenever it is woken after it was done.
static void coroutine(unsigned number)
{
    for (;;) {
        body();
        threads[number].is_done = true;
        if (!_setjmp(threads[number].place)) _longjmp(scheduler, 1);
    }
}

static inline void __syncthreads()
{
    if (!_setjmp(threads[threadIdx.x].place)) _longjmp(scheduler, 1);
}

static void prepare_threads(unsigned count)
{
    static ucontext_t here;
    const std::size_t first = threads.size();
    if (first < count) threads.resize(count);
    for (std::size_t i = first; i < count; i++) {
        Thread &one = threads[i];
        one.stack.reset(new char[STACK]);
        getcontext(&one.context);
        one.context.uc_stack.ss_sp = one.stack.get();
        one.context.uc_stack.ss_size = STACK;
        one.context.uc_link = nullptr;
        makecontext(&one.context, (void (*)())coroutine, 1, (unsigned)i);
        body = [] {};
        if (!_setjmp(scheduler)) swapcontext(&here, &one.context);
    }
}

// Number k of `count`, from the first or from the last on.
static inline unsigned in_order(unsigned k, unsigned count, bool backwards) { return backwards ? count - 1 - k : k; }

// Run one block with so many bytes of shared memory: every thread in turn, from barrier to barrier, until all are done.
// Shared memory begins as NaN. Say whether the block left what is behind its share alone, and no thread ended while
// others waited at a barrier.
static bool run_block(std::size_t bytes, bool backwards)
{
    static std::size_t used = sizeof room;
    std::memset((void *)room, -1, used);
    used = min(sizeof room, bytes + 4096);
    for (unsigned i = 0; i < blockDim.x; i++) threads[i].is_done = false;
    for (volatile unsigned busy = blockDim.x; busy;) {
        busy = 0;
        for (volatile unsigned k = 0; k < blockDim.x; k = k + 1) {
            const volatile unsigned i = in_order(k, blockDim.x, backwards);
            threadIdx = {i, 0, 0};
            if (!_setjmp(scheduler)) _longjmp(threads[i].place, 1);
            if (!threads[i].is_done) busy = busy + 1;
        }
        if (busy && busy < blockDim.x) return false;
    }
    const char *first = (const char *)room + bytes, *last = (const char *)room + used;
    return std::all_of(first, last, [](char byte) { return byte == -1; });
}

// Run a grid of {x, y, z} blocks. The arguments are pointers, as cuLaunchKernel takes them.
template <class... Types, std::size_t... Numbers>
static bool launch(
    void (*kernel)(Types...), const unsigned *grid, unsigned block, unsigned bytes, void **arguments, bool backwards,
    std::index_sequence<Numbers...>)
{
    prepare_threads(block);
    body = [=] { kernel(*static_cast<Types *>(arguments[Numbers])...); };
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {block, 1, 1};
    bool is_sound = bytes <= sizeof room;
    for (blockIdx.z = 0; blockIdx.z < grid[2]; blockIdx.z++)
        for (unsigned k = 0; k < grid[0] * grid[1] && is_sound; k++) {
            const unsigned place = in_order(k, grid[0] * grid[1], backwards);
            blockIdx.x = place % grid[0];
            blockIdx.y = place / grid[0];
            is_sound = run_block(bytes, backwards);
        }
    if (!is_sound) threads.clear();  // some may still wait
    return is_sound;
}

template <class... Types>
static bool launch(
    void (*kernel)(Types...), const unsigned *grid, unsigned block, unsigned bytes, void **arguments, bool backwards)
{
    return launch(kernel, grid, block, bytes, arguments, backwards, std::index_sequence_for<Types...>());
}

template <class... Types>
static unsigned sizes_of(void (*)(Types...), std::size_t *sizes)
{
    const std::size_t found[] = {sizeof(Types)...};
    std::copy(std::begin(found), std::end(found), sizes);
    return sizeof...(Types);
}

// Let a kernel be launched from outside, and say how long its arguments are.
#define ENTRY(kernel)                                                                                             \
    extern "C" bool launch_##kernel(const unsigned *grid, unsigned block, unsigned bytes, void **arguments)       \
    {                                                                                                             \
        static bool backwards = true;                                                                             \
        backwards = !backwards;                                                                                   \
        return launch(kernel, grid, block, bytes, arguments, backwards);                                          \
    }                                                                                                             \
    extern "C" unsigned sizes_##kernel(std::size_t *sizes) { return sizes_of(kernel, sizes); }

// Log-softmax, the loss with its gradient, and what an evaluation counts. Labels are bytes, one for each image.
#pragma once

#include "chain.cuh"

// e to the power of z: 0 below -708, infinite above 709.
__device__ inline double exponential(float z)
{
    const double INVERSE_FACTORIALS[] = {1.0, 1.0, 1 / 2.0, 1 / 6.0, 1 / 24.0, 1 / 120.0, 1 / 720.0, 1 / 5040.0,
        1 / 40320.0, 1 / 362880.0, 1 / 3628800.0, 1 / 39916800.0, 1 / 479001600.0, 1 / 6227020800.0};
    const double x = z, SHIFTER = 0x1.8p+52;
    if (x != x) return x;
    if (x < -708.0) return 0.0;
    if (x > 709.0) return __longlong_as_double(0x7ff0000000000000);
    const double n = (x * 0x1.71547652b82fep+0 + SHIFTER) - SHIFTER;
    const double r = __fma_rn(-n, 0x1.a39ef35793c76p-33, __fma_rn(-n, 0x1.62e42fee00000p-1, x));
    double q = INVERSE_FACTORIALS[13];
#pragma unroll
    for (int i = 12; i >= 0; i--) q = __fma_rn(q, r, INVERSE_FACTORIALS[i]);
    return q * __longlong_as_double(((long long)n + 1023) << 52);
}

// The natural logarithm of a positive normal t.
__device__ inline double logarithm(double t)
{
    const long long bits = __double_as_longlong(t);
    if (!(t > 0.0 && bits < 0x7ff0000000000000)) return __longlong_as_double(0x7ff8000000000000);
    double n = (double)((bits >> 52) - 1023);
    double m = __longlong_as_double((bits & 0xfffffffffffff) | 1023LL << 52);
    if (m > 0x1.6a09e667f3bcdp+0) m *= 0.5, n += 1.0;
    const double f = (m - 1.0) / (m + 1.0), g = f * f;
    double q = 1 / 23.0;
#pragma unroll
    for (int i = 21; i >= 1; i -= 2) q = __fma_rn(q, g, 1.0 / i);
    return __fma_rn(n, 0x1.62e42fee00000p-1, __fma_rn(n, 0x1.a39ef35793c76p-33, 2.0 * f * q));
}

// The log-probabilities of an image. Its scores are those of one pixel.
template <class IN>
__device__ inline void log_softmax(const Input &in, int images, int n, float (&y)[IN::channels])
{
    IN::read(typename IN::place{in, images, n, 0, 0, 0}, y);
    float largest = y[0];
    for (int k = 1; k < IN::channels; k++)
        if (y[k] > largest || y[k] != y[k]) largest = y[k];
    double total = 0;
    for (int k = 0; k < IN::channels; k++) {
        y[k] -= largest;
        total += exponential(y[k]);
    }
    const double logarithm_of_total = logarithm(total);
    for (int k = 0; k < IN::channels; k++) y[k] = (float)((double)y[k] - logarithm_of_total);
}

// Where an image of the batch is in the data set: `order` is (run, image of `count`), or null for the data set's own.
__device__ inline Count place_of(const int *order, const Clock *clock, Count count, int n)
{
    return order ? order[run() * count + clock->first + n] : clock->first + n;
}

// The gradient of the scores; the sum of the losses is added to that of the epoch. A block takes a run.
template <class IN>
__device__ inline void loss(
    const Input &in, const unsigned char *labels, const int *order, const Clock *clock, Count count, float *dx,
    double *losses, int images)
{
    double *each = (double *)room;
    for (int n = threadIdx.x; n < images; n += blockDim.x) {
        float y[IN::channels];
        log_softmax<IN>(in, images, n, y);
        const int label = labels[place_of(order, clock, count, n)];
        // The gradient of the log-probabilities is this number at the label and +0 elsewhere; so their sum is it too.
        const float sum = (float)(-1.0 / images);
        for (int k = 0; k < IN::channels; k++) {
            dx[(run() * images + n) * IN::channels + k] =
                __fmaf_rn(-(float)exponential(y[k]), sum, k == label ? sum : 0.0f);
            if (k == label) each[n] = -(double)y[k];
        }
    }
    __syncthreads();
    if (threadIdx.x > 0) return;
    double total = 0;
    for (int n = 0; n < images; n++) total += each[n];
    losses[run()] += total;
}

// The digit that is seen in each image of the batch, and its loss. Both are (run, image of `count`).
template <class IN>
__device__ inline void predict(
    const Input &in, const unsigned char *labels, const Clock *clock, Count count, unsigned char *digits,
    double *each, int images)
{
    const int n = thread();
    if (n >= images) return;
    float y[IN::channels];
    log_softmax<IN>(in, images, n, y);
    const Count image = clock->first + n;
    int best = 0;
    for (int k = 0; k < IN::channels; k++) {
        if (y[k] > y[best]) best = k;
        if (k == labels[image]) each[run() * count + image] = -(double)y[k];
    }
    digits[run() * count + image] = best;
}

constexpr int EVALUATED = 100;  // images whose losses are added up before they are added to the others

// The sum of the losses of all images of an evaluation, and how many digits are right. A block takes a run.
extern "C" __global__ void evaluated(
    const unsigned char *digits, const unsigned char *labels, const double *each, Count count, double *losses,
    Count *correct)
{
    const int parts = (count + EVALUATED - 1) / EVALUATED;
    double *totals = (double *)room;
    Count *right = (Count *)(totals + parts);
    for (int part = threadIdx.x; part < parts; part += blockDim.x) {
        double total = 0;
        Count number = 0;
        for (Count i = part * EVALUATED; i < (part + 1) * EVALUATED && i < count; i++) {
            total += each[run() * count + i];
            number += digits[run() * count + i] == labels[i];
        }
        totals[part] = total, right[part] = number;
    }
    __syncthreads();
    if (threadIdx.x > 0) return;
    double total = 0;
    Count number = 0;
    for (int part = 0; part < parts; part++) total += totals[part], number += right[part];
    losses[run()] = total, correct[run()] = number;
}

// Values as a kernel reads them: those in memory, taken through the operations on single values that follow them.
#pragma once

#include "common.cuh"

// What a kernel reads: values of the batch (float32, or bytes of the data set), the numbers of a normalisation (run,
// FACTOR to OFFSET, channel), the bits of a dropout (run, word of 16 bits), and for the data set the order of an epoch
// (run, image of `count`) with the clock that says where the batch begins.
struct Input {
    const void *values;
    const float *numbers;
    const unsigned short *mask;
    const int *order;
    const Clock *clock;
    Count count;
};

enum Number { FACTOR, SHIFT, MEAN, SLOPE, OFFSET, NUMBERS };

// A place among values (images, HEIGHT, WIDTH, CHANNELS).
template <int HEIGHT, int WIDTH, int CHANNELS>
struct Place {
    const Input &in;
    int images, n, h, w, c;

    __device__ float number(Number which) const { return in.numbers[(run() * NUMBERS + which) * CHANNELS + c]; }
    __device__ bool keeps_value() const { return keeps(((n * CHANNELS + c) * HEIGHT + h) * WIDTH + w, CHANNELS * HEIGHT * WIDTH); }
    __device__ bool keeps_channel() const { return keeps(n * CHANNELS + c, CHANNELS); }
    __device__ bool keeps(int i, int size) const
    {
        const int words = (images * size + 15) / 16;
        return in.mask[run() * words + i / 16] >> i % 16 & 1;
    }
};

// The operations. `forward` takes a value on; `backward` gives the gradient of v from that of the result.
struct Relu {
    template <class P> static __device__ float forward(float v, const P &) { return v <= 0.0f ? 0.0f : v; }
    template <class P> static __device__ float backward(float v, float g, const P &) { return v <= 0.0f ? 0.0f : g; }
};

struct Relu6 {
    template <class P> static __device__ float forward(float v, const P &)
    {
        return v <= 0.0f ? 0.0f : v >= 6.0f ? 6.0f : v;
    }
    template <class P> static __device__ float backward(float v, float g, const P &)
    {
        return v <= 0.0f || v >= 6.0f ? 0.0f : g;
    }
};

template <unsigned SLOPE_BITS>
struct LeakyRelu {
    template <class P> static __device__ float forward(float v, const P &)
    {
        return v > 0.0f ? v : v * __uint_as_float(SLOPE_BITS);
    }
    template <class P> static __device__ float backward(float v, float g, const P &)
    {
        return v > 0.0f ? g : g * __uint_as_float(SLOPE_BITS);
    }
};

template <unsigned FACTOR_BITS>
struct DropValues {
    template <class P> static __device__ float forward(float v, const P &place)
    {
        return v * (place.keeps_value() ? __uint_as_float(FACTOR_BITS) : 0.0f);
    }
    template <class P> static __device__ float backward(float, float g, const P &place) { return forward(g, place); }
};

template <unsigned FACTOR_BITS>
struct DropChannels {
    template <class P> static __device__ float forward(float v, const P &place)
    {
        return v * (place.keeps_channel() ? __uint_as_float(FACTOR_BITS) : 0.0f);
    }
    template <class P> static __device__ float backward(float, float g, const P &place) { return forward(g, place); }
};

struct Norm {
    template <class P> static __device__ float forward(float v, const P &place)
    {
        return __fmaf_rn(v, place.number(FACTOR), place.number(SHIFT));
    }
    template <class P> static __device__ float backward(float v, float g, const P &place)
    {
        const float e = v - place.number(MEAN);
        return __fmaf_rn(place.number(FACTOR), g, __fmaf_rn(place.number(SLOPE), e, place.number(OFFSET)));
    }
};

// Operations one after the other. `before_norm` stops at the normalisation. `at_norm` takes a gradient back to just
// behind it, and gives what went into it.
template <class... OPERATIONS>
struct Chain;

template <>
struct Chain<> {
    template <class P> static __device__ float forward(float v, const P &) { return v; }
    template <class P> static __device__ float backward(float, float g, const P &) { return g; }
    template <class P> static __device__ float before_norm(float v, const P &) { return v; }
    template <class P> static __device__ float at_norm(float v, float g, const P &, float &) { return g; }
};

template <class FIRST, class... REST>
struct Chain<FIRST, REST...> {
    template <class P> static __device__ float forward(float v, const P &place)
    {
        return Chain<REST...>::forward(FIRST::forward(v, place), place);
    }
    template <class P> static __device__ float backward(float v, float g, const P &place)
    {
        return FIRST::backward(v, Chain<REST...>::backward(FIRST::forward(v, place), g, place), place);
    }
    template <class P> static __device__ float before_norm(float v, const P &place)
    {
        return Chain<REST...>::before_norm(FIRST::forward(v, place), place);
    }
    template <class P> static __device__ float at_norm(float v, float g, const P &place, float &into)
    {
        return Chain<REST...>::at_norm(FIRST::forward(v, place), g, place, into);
    }
};

template <class... REST>
struct Chain<Norm, REST...> {
    template <class P> static __device__ float forward(float v, const P &place)
    {
        return Chain<REST...>::forward(Norm::forward(v, place), place);
    }
    template <class P> static __device__ float backward(float v, float g, const P &place)
    {
        return Norm::backward(v, Chain<REST...>::backward(Norm::forward(v, place), g, place), place);
    }
    template <class P> static __device__ float before_norm(float v, const P &) { return v; }
    template <class P> static __device__ float at_norm(float v, float g, const P &place, float &into)
    {
        into = v;
        return Chain<REST...>::backward(Norm::forward(v, place), g, place);
    }
};

// Values in memory, and what follows them.
template <int HEIGHT, int WIDTH, int CHANNELS, class CHAIN>
struct Stored {
    static constexpr int height = HEIGHT, width = WIDTH, channels = CHANNELS;
    typedef CHAIN chain;
    typedef Place<HEIGHT, WIDTH, CHANNELS> place;

    static __device__ size_t at(const place &p)
    {
        return (((run() * p.images + p.n) * HEIGHT + p.h) * WIDTH + p.w) * CHANNELS + p.c;
    }
    static __device__ float raw(const place &p) { return ((const float *)p.in.values)[at(p)]; }
    // COUNT channels from that of the place on, which is a multiple of COUNT.
    template <int COUNT>
    static __device__ void read(const place &p, float (&to)[COUNT])
    {
        fetch<COUNT, aligned(CHANNELS)>((const float *)p.in.values + at(p), to);
#pragma unroll
        for (int j = 0; j < COUNT; j++) to[j] = CHAIN::forward(to[j], place{p.in, p.images, p.n, p.h, p.w, p.c + j});
    }
};

// Images of a data set, whose pixels are bytes, and what follows them.
template <int HEIGHT, int WIDTH, int CHANNELS, class CHAIN>
struct Pixels {
    static constexpr int height = HEIGHT, width = WIDTH, channels = CHANNELS;
    typedef CHAIN chain;
    typedef Place<HEIGHT, WIDTH, CHANNELS> place;

    static __device__ float raw(const place &p)
    {
        const Count number = p.in.clock->first + p.n;
        const Count image = p.in.order ? p.in.order[run() * p.in.count + number] : number;
        const size_t pixel = ((image * HEIGHT + p.h) * WIDTH + p.w) * CHANNELS + p.c;
        return ((float)((const unsigned char *)p.in.values)[pixel] / 255.0f - 0.1307f) / 0.3081f;
    }
    template <int COUNT>
    static __device__ void read(const place &p, float (&to)[COUNT])
    {
#pragma unroll
        for (int j = 0; j < COUNT; j++) {
            const place one = {p.in, p.images, p.n, p.h, p.w, p.c + j};
            to[j] = CHAIN::forward(raw(one), one);
        }
    }
};

# Numbers of single precision in the order of their size, for searches by halves.
cdef union Number:
    float value
    int bits


cdef inline long long place_of(float v) noexcept nogil:
    """Place of a number among all of its kind, in the order of their size."""
    cdef Number number
    number.value = v
    return number.bits if number.bits >= 0 else -<long long> (number.bits & 0x7fffffff)


cdef inline float number_at(long long place) noexcept nogil:
    cdef Number number
    number.bits = <int> (place if place >= 0 else -place)
    return number.value if place >= 0 else -number.value

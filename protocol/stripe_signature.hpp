#pragma once

#include <chrono>
#include <span>
#include <string_view>

namespace kgents {

/// Whether Stripe signed `body`: some `v1` of the header is the HMAC-SHA-256 of `<t>.<body>` under
/// one of `secrets` (the whole `whsec_…` text is the key), and its `t` is at most `tolerance` from
/// `now`, either way.
///
/// `header` is that of `Stripe-Signature`: `t=<unix seconds>,v1=<hex>[,v1=<hex>…]`. Unknown schemes
/// are passed over; a header without `t`, with two, or without a `v1` is no signature. Empty
/// secrets match nothing. Digests are compared in constant time. Any thread.
/// (Stripe's documentation, "Verify webhook signatures manually".)
[[nodiscard]] bool is_signed_by_stripe(std::string_view header, std::string_view body,
                                       std::span<const std::string_view> secrets,
                                       std::chrono::system_clock::time_point now,
                                       std::chrono::seconds tolerance);

}  // namespace kgents

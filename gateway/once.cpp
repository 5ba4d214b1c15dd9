#include "gateway/once.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <boost/asio/post.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "gateway/route.hpp"

namespace kgents::gateway {

namespace json = boost::json;
namespace idempotency = runtime::idempotency;

namespace {

/// The answer is worth asking again for: nothing was done, or it is not known what.
bool passing(unsigned status) {
  return status >= 500 || status == 408 || status == 409 || status == 425 || status == 429;
}

/// What an answer also depends on: who looks, and what it may prove.
constexpr std::string_view observer_headers[] = {"x-observer-archetype", "x-observer-id",
                                                 "x-observer-capabilities",
                                                 "x-agentese-capability"};

/// Of method, path, query, observer and body, each ended by a zero, which none but the body holds.
std::string fingerprint(const http::request& in) {
  std::array<unsigned char, 32> digest{};
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> state{EVP_MD_CTX_new(),
                                                                      &EVP_MD_CTX_free};
  EVP_DigestInit_ex(state.get(), EVP_sha256(), nullptr);
  const auto add = [&](std::string_view part) {
    EVP_DigestUpdate(state.get(), part.data(), part.size());
    EVP_DigestUpdate(state.get(), "", 1);
  };
  add(in.method);
  add(in.path);
  add(in.query);
  for (const auto name : observer_headers)
    add(in.header(name));
  add(in.body);
  EVP_DigestFinal_ex(state.get(), digest.data(), nullptr);
  static constexpr char digits[] = "0123456789abcdef";
  std::string out;
  for (const auto c : digest) {
    out += digits[c >> 4];
    out += digits[c & 15];
  }
  return out;
}

bool well_formed(std::string_view key) {
  return !key.empty() && key.size() <= 255 &&
         std::all_of(key.begin(), key.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

/// The kept answer of the first request, or why it cannot be given.
void repeat(const call_ptr& c, std::string_view kept, std::string_view request) {
  boost::system::error_code ec;
  const auto value = json::parse(kept, ec);
  const auto* x = ec ? nullptr : value.if_object();
  if (x == nullptr || !x->contains("status")) {
    c->refuse(refusal{503, "The answer kept for this Idempotency-Key cannot be read", 1, ""});
    return;
  }
  if (x->at("request").as_string() != request) {
    c->refuse(refusal{422, "Idempotency-Key was used before with another request", 0,
                      "idempotency_mismatch"});
    return;
  }
  if (!x->contains("body")) {
    c->refuse(refusal{409,
                      "The request with this Idempotency-Key was answered with status " +
                          std::to_string(x->at("status").as_int64()) +
                          "; its answer was too long to be kept",
                      0, "idempotency_answer_lost"});
    return;
  }
  const auto text = [&](std::string_view name) {
    return std::string{std::string_view{x->at(name).as_string()}};
  };
  c->reply(static_cast<unsigned>(x->at("status").as_int64()), text("body"), text("type"),
           text("lines") + "Idempotent-Replayed: true\r\n");
}

}  // namespace

once::~once() {
  if (!settled_)
    store_->release(id_, token_);
}

void once::answered(unsigned status, std::string_view body, std::string_view type,
                    std::string_view lines) {
  if (std::exchange(settled_, true))
    return;
  if (passing(status)) {
    store_->release(id_, token_);
    return;
  }
  json::object kept{{"status", status}, {"request", request_}};
  if (body.size() + lines.size() <= idempotency::answer_bytes) {
    kept["body"] = body;
    kept["type"] = type;
    kept["lines"] = lines;
  }
  store_->complete(id_, token_, json::serialize(kept), idempotency::keep_answer);
}

void handle_once(const call_ptr& c) {
  const auto key = c->x->in().header("idempotency-key");
  if (!well_formed(key)) {
    c->refuse(400, "Invalid Idempotency-Key. Valid: 1 to 255 visible ASCII characters");
    return;
  }
  auto id = "idem:" + c->tenant().text() + ":" + c->who->key.key.text() + ":" + std::string{key};
  auto request = fingerprint(c->x->in());
  const auto& store = c->at.idempotency;
  auto asked = id;
  store->claim(std::move(asked), idempotency::hold,
               [c, store, id = std::move(id),
                request = std::move(request)](idempotency::claimed x) mutable {
                 // Made here, so that the claim is released should the thread be gone.
                 auto mine = x.state == idempotency::claim_state::fresh
                                 ? std::make_unique<once>(store, std::move(id), std::move(x.token),
                                                          request)
                                 : nullptr;
                 boost::asio::post(
                     c->x->thread().context(),
                     [c, x = std::move(x), request = std::move(request),
                      mine = std::move(mine)]() mutable {
                       if (mine != nullptr) {
                         c->kept = std::move(mine);
                         c->to->handle(c);
                       } else if (x.state == idempotency::claim_state::done) {
                         repeat(c, x.answer, request);
                       } else {
                         c->refuse(refusal{409,
                                           "A request with this Idempotency-Key is under way", 1,
                                           "idempotency_in_progress"});
                       }
                     });
               });
}

}  // namespace kgents::gateway

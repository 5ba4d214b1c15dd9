#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "runtime/idempotency/store.hpp"

namespace kgents::gateway {

struct call;
using call_ptr = std::shared_ptr<call>;

/// What a request with an `Idempotency-Key` holds while it is being answered: the promise that its
/// answer is kept for whoever repeats it, or that the next may try.
class once {
public:
  once(std::shared_ptr<runtime::idempotency::store> store, std::string id, std::string token,
       std::string request)
      : store_{std::move(store)},
        id_{std::move(id)},
        token_{std::move(token)},
        request_{std::move(request)} {}
  /// Unanswered (a stream, a handler that failed): the next may try.
  ~once();
  once(const once&) = delete;
  once& operator=(const once&) = delete;

  /// Keeps the answer when something was done or refused for good; after one that says "not now"
  /// (408, 409, 425, 429, 5xx) the next may try.
  void answered(unsigned status, std::string_view body, std::string_view type,
                std::string_view lines);

private:
  std::shared_ptr<runtime::idempotency::store> store_;
  const std::string id_;
  const std::string token_;
  const std::string request_;  ///< what must be the same when the key comes again
  bool settled_ = false;
};

/// Of a route with `once`, when the request names a key: runs the handler if it is the first with
/// it, otherwise gives the first one's answer, 409 while that is being made, 422 when the request is
/// another one. Keys are a tenant's and an API key's own.
void handle_once(const call_ptr& c);

}  // namespace kgents::gateway

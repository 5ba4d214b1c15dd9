#pragma once

#include <array>
#include <optional>
#include <string_view>
#include <vector>

#include "gateway/route.hpp"
#include "gateway/router.hpp"

namespace kgents::gateway {

/// The HTTP application of a node: finds the route, authenticates, validates, limits, and hands the
/// call to its handler. The order of the checks is http-api.md 1.7's; the first that fails decides
/// the answer.
class application : public http::application {
public:
  explicit application(node& n);

  void head(std::shared_ptr<http::exchange> x) override;
  void body(std::shared_ptr<http::exchange> x) override;
  http::response refuse(unsigned status, std::string_view why) override;
  void answered(const http::exchange& x, unsigned status) override;

private:
  using digest = std::array<unsigned char, 32>;

  struct served {
    const route* to;
    runtime::route_probe* probe;
  };

  bool find(call& c);
  [[nodiscard]] bool is_operator(const http::request& in) const;
  bool serves(const call_ptr& c);
  bool preflight(const call_ptr& c);
  void authenticate(const call_ptr& c);
  void identified(const call_ptr& c, authenticator::result who);
  [[nodiscard]] size_t most_body_bytes(const route& to) const;
  void go_on(const call_ptr& c);
  void refuse_anonymous(const call_ptr& c, std::string_view why);
  void checked(const call_ptr& c);
  void arrived(const call_ptr& c, const runtime::verdict& x);
  void refuse_later(const call_ptr& c);
  void counted(const call_ptr& c, const runtime::verdict& x);
  void admitted(const call_ptr& c);

  node& at_;
  std::vector<served> routes_;  // as the router numbers them
  router router_;
  runtime::route_probe& unmatched_;
  const std::optional<digest> operators_key_;  // none: nobody is the operator
  const bool is_gateway_;
};

}  // namespace kgents::gateway

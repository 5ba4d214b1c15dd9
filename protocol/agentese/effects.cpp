#include "protocol/agentese/effects.hpp"

#include <algorithm>
#include <boost/json/array.hpp>
#include <limits>
#include <utility>

#include "protocol/agentese/scan.hpp"

namespace kgents::agentese {
namespace {

constexpr size_t max_resource_bytes = 64;

bool is_resource(std::string_view text) {
  return !text.empty() && text.size() <= max_resource_bytes &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return scan::in_identifier(c) || c == '.' || c == '-' || c == '/' || c == '*';
         });
}

micro_amount saturating_sum(micro_amount a, micro_amount b) {
  micro_amount result = 0;
  return __builtin_add_overflow(a, b, &result) ? std::numeric_limits<micro_amount>::max() : result;
}

/// A decimal of at most nine digits before the point and six behind it.
std::optional<micro_amount> parse_amount(std::string_view text) {
  const auto point = std::min(text.find('.'), text.size());
  const auto whole = text.substr(0, point);
  const auto fraction = point < text.size() ? text.substr(point + 1) : std::string_view{"0"};
  const auto digits = [](std::string_view x, size_t most) {
    return !x.empty() && x.size() <= most && std::all_of(x.begin(), x.end(), scan::is_digit);
  };
  if (!digits(whole, 9) || !digits(fraction, 6))
    return std::nullopt;
  micro_amount result = 0;
  for (const char c : whole)
    result = result * 10 + (c - '0');
  for (size_t i = 0; i < 6; ++i)
    result = result * 10 + (i < fraction.size() ? fraction[i] - '0' : 0);
  return result;
}

std::string print_amount(micro_amount x) {
  auto result = std::to_string(x / micros_per_unit);
  if (x % micros_per_unit == 0)
    return result;
  auto fraction = std::to_string(micros_per_unit + x % micros_per_unit).substr(1);
  fraction.erase(fraction.find_last_not_of('0') + 1);
  return result.append(1, '.').append(fraction);
}

void add_sums(effects::amounts& into, const effects::amounts& from) {
  for (const auto& [resource, amount] : from) {
    auto& sum = into[resource];
    sum = saturating_sum(sum, amount);
  }
}

boost::json::array names(const effects::resources& x) {
  boost::json::array result;
  for (const auto& each : x)
    result.emplace_back(each);
  return result;
}

boost::json::object sums(const effects::amounts& x) {
  boost::json::object result;
  for (const auto& [resource, amount] : x)
    if (amount % micros_per_unit == 0)
      result[resource] = amount / micros_per_unit;
    else
      result[resource] = static_cast<double>(amount) / micros_per_unit;
  return result;
}

}  // namespace

bool effects::add(std::string_view text) {
  const auto colon = std::min(text.find(':'), text.size());
  const auto kind = text.substr(0, colon);
  if (kind == "forces" || kind == "audits") {
    if (colon < text.size() && !is_resource(text.substr(colon + 1)))
      return false;
    (kind == "forces" ? forces : audits) = true;
    return true;
  }
  if (colon == text.size())
    return false;
  auto resource = text.substr(colon + 1);
  for (auto [name, sum] : {std::pair{"charges", &charges}, std::pair{"earns", &earns}}) {
    if (kind != name)
      continue;
    const auto space = std::min(resource.find(' '), resource.size());
    const auto amount = space < resource.size() ? parse_amount(resource.substr(space + 1))
                                                : std::optional<micro_amount>{0};
    resource = resource.substr(0, space);
    if (!amount || !is_resource(resource))
      return false;
    add_sums(*sum, {{std::string{resource}, *amount}});
    return true;
  }
  for (auto [name, set] :
       {std::pair{"reads", &reads}, std::pair{"writes", &writes}, std::pair{"deletes", &deletes},
        std::pair{"calls", &calls}, std::pair{"emits", &emits}})
    if (kind == name && is_resource(resource)) {
      set->emplace(resource);
      return true;
    }
  return false;
}

bool effects::empty() const noexcept {
  return reads.empty() && writes.empty() && deletes.empty() && calls.empty() && emits.empty() &&
         charges.empty() && earns.empty() && !forces && !audits;
}

std::optional<effects> parse_effects(std::span<const std::string_view> texts) {
  effects result;
  for (const auto text : texts)
    if (!result.add(text))
      return std::nullopt;
  return result;
}

effects compose(effects a, const effects& b) {
  a.reads.insert(b.reads.begin(), b.reads.end());
  a.writes.insert(b.writes.begin(), b.writes.end());
  a.deletes.insert(b.deletes.begin(), b.deletes.end());
  a.calls.insert(b.calls.begin(), b.calls.end());
  a.emits.insert(b.emits.begin(), b.emits.end());
  add_sums(a.charges, b.charges);
  add_sums(a.earns, b.earns);
  a.forces |= b.forces;
  a.audits |= b.audits;
  return a;
}

effects compose(std::span<const effects> all) {
  effects result;
  for (const auto& each : all)
    result = compose(std::move(result), each);
  return result;
}

effects::resources required_capabilities(const effects& x) {
  effects::resources result;
  for (const auto* set : {&x.writes, &x.deletes})
    for (const auto& resource : *set)
      result.insert(resource + ":write");
  return result;
}

boost::json::object to_json(const effects& x) {
  boost::json::object result;
  result["reads"] = names(x.reads);
  result["writes"] = names(x.writes);
  if (!x.deletes.empty())
    result["deletes"] = names(x.deletes);
  result["calls"] = names(x.calls);
  if (!x.emits.empty())
    result["emits"] = names(x.emits);
  result["charges"] = sums(x.charges);
  if (!x.earns.empty())
    result["earns"] = sums(x.earns);
  if (x.forces)
    result["forces"] = true;
  if (x.audits)
    result["audits"] = true;
  result["required_capabilities"] = names(required_capabilities(x));
  return result;
}

std::vector<std::string> to_texts(const effects& x) {
  std::vector<std::string> result;
  for (auto [kind, set] : {std::pair{"reads:", &x.reads}, std::pair{"writes:", &x.writes},
                           std::pair{"deletes:", &x.deletes}, std::pair{"calls:", &x.calls},
                           std::pair{"emits:", &x.emits}})
    for (const auto& resource : *set)
      result.push_back(kind + resource);
  for (auto [kind, sum] : {std::pair{"charges:", &x.charges}, std::pair{"earns:", &x.earns}})
    for (const auto& [resource, amount] : *sum)
      result.push_back(kind + resource + (amount == 0 ? "" : " " + print_amount(amount)));
  if (x.forces)
    result.emplace_back("forces");
  if (x.audits)
    result.emplace_back("audits");
  std::sort(result.begin(), result.end());
  return result;
}

}  // namespace kgents::agentese

#include "gateway/http/exchange.hpp"

namespace kgents::gateway::http {

namespace {

const std::string* find(const request& x, std::string_view name) noexcept {
  for (auto& [known, value] : x.headers)
    if (known == name)
      return &value;
  return nullptr;
}

}  // namespace

std::string_view request::header(std::string_view name) const noexcept {
  const auto* value = find(*this, name);
  return value ? std::string_view{*value} : std::string_view{};
}

bool request::has_header(std::string_view name) const noexcept {
  return find(*this, name) != nullptr;
}

void write_batch::add(std::shared_ptr<const void> owner, std::string_view bytes) {
  if (!bytes.empty())
    pieces_.push_back({std::move(owner), bytes});
}

void write_batch::add(std::string bytes) {
  auto owner = std::make_shared<const std::string>(std::move(bytes));
  const std::string_view view{*owner};
  add(std::move(owner), view);
}

}  // namespace kgents::gateway::http

// What check-layers must refuse: an include of a layer above.
#include "sql/pool.hpp"

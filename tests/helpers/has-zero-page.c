/* has-zero-page - exit status 0: memory that is only read costs nothing. */
#include "tests/lib/zero_page.h"

int main(void)
{
	return has_zero_page() ? 0 : 1;
}

/*
 * json.c - picks a value out of JSON, for the tests:
 *
 *	json [KEY]... <FILE
 *
 * Each KEY goes one level down: a member of an object; an index of an array,
 * or else the "name" of the object in it that is meant. Prints a string as it
 * is, anything else as JSON. Exit 1: there is no such value; 2: not JSON.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const json_t *down(const json_t *at, const char *key)
{
	const json_t *item;
	char *end;
	size_t i = strtoul(key, &end, 10);

	if (json_is_object(at))
		return json_object_get(at, key);
	if (*key && !*end)
		return json_array_get(at, i);
	json_array_foreach(at, i, item)
	{
		const char *name =
			json_string_value(json_object_get(item, "name"));

		if (name && !strcmp(name, key))
			return item;
	}
	return NULL;
}

int main(int argc, char **argv)
{
	json_error_t error;
	json_t *all = json_loadf(stdin, JSON_REJECT_DUPLICATES, &error);
	const json_t *at = all;

	if (!all) {
		(void)fprintf(stderr, "json: %s\n", error.text);
		return 2;
	}
	for (int i = 1; i < argc && at; i++)
		at = down(at, argv[i]);
	if (json_is_string(at))
		(void)puts(json_string_value(at));
	else if (at && !json_dumpf(at, stdout, JSON_ENCODE_ANY | JSON_COMPACT))
		(void)putchar('\n');
	json_decref(all);
	return at ? 0 : 1;
}

"""Tests of math.clamp()."""

import math
import unittest
from decimal import Decimal
from fractions import Fraction


class Unordered:
    """Refuses to be compared."""

    def __lt__(self, other):
        raise ZeroDivisionError('compared')

    __le__ = __gt__ = __ge__ = __lt__


class ClampTests(unittest.TestCase):

    def test_a_value_in_the_range_is_returned_itself(self):
        for value in (0, 0.5, 1, Fraction(1, 3), Decimal('0.1'), True):
            with self.subTest(value=value):
                self.assertIs(math.clamp(value, 0, 1), value)

    def test_a_value_outside_gives_the_bound_it_passed(self):
        low, high = 10**30, 2 * 10**30
        self.assertIs(math.clamp(-1, low, high), low)
        self.assertIs(math.clamp(10**31, low, high), high)
        self.assertIs(math.clamp(-math.inf, low, high), low)
        self.assertIs(math.clamp(math.inf, low, high), high)

    def test_a_range_may_hold_a_single_value(self):
        for value in (1, 2, 3):
            self.assertEqual(math.clamp(value, 2, 2), 2)

    def test_anything_ordered_will_do(self):
        self.assertEqual(math.clamp('m', 'a', 'f'), 'f')
        self.assertEqual(math.clamp((0, 9), (1, 0), (2, 0)), (1, 0))

    def test_an_equal_value_of_another_type_is_kept(self):
        self.assertIs(type(math.clamp(1.0, 1, 2)), float)
        self.assertIs(type(math.clamp(2, 1.0, 2.0)), int)

    def test_a_nan_is_returned(self):
        self.assertTrue(math.isnan(math.clamp(math.nan, 0, 1)))

    def test_an_empty_range_is_an_error(self):
        with self.assertRaisesRegex(ValueError, 'low <= high'):
            math.clamp(1, 2, 0)

    def test_a_bound_that_is_nan_is_an_error(self):
        for low, high in ((math.nan, 1), (0, math.nan), (math.nan, math.nan)):
            with self.subTest(low=low, high=high), self.assertRaises(ValueError):
                math.clamp(0.5, low, high)

    def test_errors_of_a_comparison_come_through(self):
        odd = Unordered()
        for arguments in ((odd, 0, 1), (0, odd, 1), (0, 0, odd)):
            with self.subTest(arguments=arguments), self.assertRaises(ZeroDivisionError):
                math.clamp(*arguments)
        with self.assertRaises(TypeError):
            math.clamp('1', 0, 2)

    def test_the_arguments_are_positional_and_three(self):
        self.assertEqual(math.clamp.__text_signature__, '($module, value, low, high, /)')
        for arguments in ((), (1,), (1, 0), (1, 0, 2, 3)):
            with self.subTest(arguments=arguments), self.assertRaises(TypeError):
                math.clamp(*arguments)
        with self.assertRaises(TypeError):
            math.clamp(1, low=0, high=2)


if __name__ == '__main__':
    unittest.main()

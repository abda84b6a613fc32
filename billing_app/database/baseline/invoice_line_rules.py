"""What each line of an invoice must satisfy.

The arithmetic of a line is checked here as well, independently of the code that computed it. No check
divides, because a share of a month, such as 17/31, has no exact decimal: both sides are multiplied
instead. `billing_app/models/invoice_line.py` builds the same rules from their parts.
"""

from __future__ import annotations

# Which columns each kind of line has. A CHECK with the value NULL passes, so these refuse what is missing.
COLUMNS_OF_KINDS = {
    "ck_invoice_line_known_kind": "kind IN ('base', 'overage', 'late_usage', 'discount', 'one_off')",
    "ck_invoice_line_usage_period_of_kind": (
        "CASE kind WHEN 'one_off' THEN usage_period IS NULL"
        " WHEN 'discount' THEN usage_period <= period_start"
        " WHEN 'late_usage' THEN usage_period < period_start ELSE usage_period = period_start END IS TRUE"
    ),
    "ck_invoice_line_days_of_kind": (
        "num_nulls(segment_start, segment_end, days, days_in_month, plan_name, plan_version) = CASE"
        " WHEN kind IN ('discount', 'one_off') THEN 6 ELSE 0 END"
    ),
    "ck_invoice_line_base_of_kind": "(monthly_price_minor IS NOT NULL) = (kind = 'base')",
    "ck_invoice_line_usage_of_kind": (
        "num_nulls(charge_position, meter_code, meter_name, meter_unit, aggregation, model, quantity,"
        " quantity_before, quantity_after, billed_quantity, billed_quantity_before) = CASE"
        " WHEN kind IN ('overage', 'late_usage') THEN 0 WHEN kind = 'one_off' THEN 10"
        " ELSE 11 END AND (kind <> 'one_off' OR quantity IS NOT NULL)"
    ),
    "ck_invoice_line_terms_of_model": (
        "CASE model WHEN 'per_unit' THEN num_nulls(included_units, included_quantity, unit_price) = 0"
        " AND num_nonnulls(package_size, package_price_minor, packages, packages_before, tier_number) = 0"
        " WHEN 'package' THEN num_nulls(included_units, included_quantity, package_size,"
        " package_price_minor, packages, packages_before) = 0 AND num_nonnulls(unit_price, tier_number) = 0"
        " WHEN 'graduated' THEN num_nulls(tier_number, unit_price) = 0"
        " AND num_nonnulls(included_units, included_quantity, package_size, package_price_minor, packages,"
        " packages_before) = 0 WHEN 'volume' THEN num_nulls(tier_number, unit_price) = 0"
        " AND num_nonnulls(included_units, included_quantity, package_size, package_price_minor, packages,"
        " packages_before) = 0 ELSE kind NOT IN ('overage', 'late_usage')"
        " AND num_nonnulls(included_units, included_quantity, package_size, package_price_minor, packages,"
        " packages_before, tier_number) = 0 AND (unit_price IS NOT NULL) = (kind = 'one_off') END"
    ),
    "ck_invoice_line_tier_whole": (
        "num_nulls(tier_number, tier_above, tier_above_units, flat_price_minor) IN (0, 4)"
        " AND (tier_number IS NOT NULL OR num_nonnulls(tier_up_to, tier_up_to_units) = 0)"
    ),
    "ck_invoice_line_component_tier_of_model": (
        "component_tier IS NOT DISTINCT FROM CASE model WHEN 'graduated' THEN tier_number END"
    ),
    "ck_invoice_line_tier_before_of_kind": (
        "num_nulls(tier_number_before, tier_above_before, unit_price_before, flat_price_minor_before) ="
        " CASE WHEN kind = 'late_usage' AND model = 'volume' THEN 0"
        " ELSE 4 END AND (tier_number_before IS NOT NULL OR tier_up_to_before IS NULL)"
    ),
    "ck_invoice_line_discount_of_kind": (
        "num_nulls(discount_number, discount_name, discount_part, discounted_minor,"
        " discounted_minor_before) = CASE kind WHEN 'discount' THEN 0"
        " ELSE 5 END AND num_nonnulls(discount_percent, discount_amount_minor) = CASE kind"
        " WHEN 'discount' THEN 1 ELSE 0 END AND num_nulls(discount_amount_minor, discount_available_minor)"
        " IN (0, 2)"
    ),
    "ck_invoice_line_item_of_kind": (
        "num_nulls(item_key, item_date) = CASE kind WHEN 'one_off' THEN 0 ELSE 2 END"
    ),
    "ck_invoice_line_nothing_before_of_kind": (
        "kind = 'late_usage' OR (kind = 'discount' AND usage_period < period_start)"
        " OR (exact_amount_before = 0 AND coalesce(quantity_before, 0) = 0"
        " AND coalesce(billed_quantity_before, 0) = 0 AND coalesce(packages_before, 0) = 0)"
    ),
}

ARITHMETIC = {
    "ck_invoice_line_line_number_positive": "line_number >= 1",
    "ck_invoice_line_known_aggregation": "aggregation IN ('sum', 'max', 'unique')",
    "ck_invoice_line_known_model": "model IN ('per_unit', 'package', 'graduated', 'volume')",
    "ck_invoice_line_known_discount_part": "discount_part IN ('base', 'usage')",
    "ck_invoice_line_days_rule": (
        "days = segment_end - segment_start AND days >= 1 AND segment_start >= usage_period"
        " AND segment_end <= (usage_period + interval '1 month')::date"
        " AND days_in_month = (usage_period + interval '1 month')::date - usage_period"
    ),
    "ck_invoice_line_exact_denominator_rule": "exact_denominator IN (1, coalesce(days_in_month, 1))",
    "ck_invoice_line_quantities_add_up": "quantity_after = quantity_before + quantity",
    "ck_invoice_line_included_quantity_rule": (
        "CASE WHEN aggregation <> 'sum' OR days = days_in_month"
        " THEN included_quantity IS NOT DISTINCT FROM included_units"
        " WHEN included_quantity IS NULL OR included_units IS NULL THEN included_quantity IS NULL"
        " AND included_units IS NULL ELSE 2 * days_in_month * included_quantity * 1000000"
        " <= 2 * included_units * 1000000 * days + days_in_month"
        " AND 2 * included_units * 1000000 * days + days_in_month"
        " < 2 * days_in_month * (included_quantity * 1000000 + 1) END"
    ),
    "ck_invoice_line_tier_above_rule": (
        "CASE WHEN aggregation <> 'sum' OR days = days_in_month"
        " THEN tier_above IS NOT DISTINCT FROM tier_above_units"
        " WHEN tier_above IS NULL OR tier_above_units IS NULL THEN tier_above IS NULL"
        " AND tier_above_units IS NULL ELSE 2 * days_in_month * tier_above * 1000000"
        " <= 2 * tier_above_units * 1000000 * days + days_in_month"
        " AND 2 * tier_above_units * 1000000 * days + days_in_month"
        " < 2 * days_in_month * (tier_above * 1000000 + 1) END"
    ),
    "ck_invoice_line_tier_up_to_rule": (
        "CASE WHEN aggregation <> 'sum' OR days = days_in_month"
        " THEN tier_up_to IS NOT DISTINCT FROM tier_up_to_units"
        " WHEN tier_up_to IS NULL OR tier_up_to_units IS NULL THEN tier_up_to IS NULL"
        " AND tier_up_to_units IS NULL ELSE 2 * days_in_month * tier_up_to * 1000000"
        " <= 2 * tier_up_to_units * 1000000 * days + days_in_month"
        " AND 2 * tier_up_to_units * 1000000 * days + days_in_month"
        " < 2 * days_in_month * (tier_up_to * 1000000 + 1) END"
    ),
    "ck_invoice_line_billed_quantity_rule": (
        "CASE model WHEN 'graduated' THEN billed_quantity = greatest(0, least(quantity_after, tier_up_to)"
        " - tier_above) WHEN 'volume' THEN billed_quantity = quantity_after"
        " ELSE billed_quantity = greatest(0, quantity_after - included_quantity) END"
    ),
    "ck_invoice_line_billed_quantity_before_rule": (
        "CASE model WHEN 'graduated' THEN billed_quantity_before"
        " = greatest(0, least(quantity_before, tier_up_to) - tier_above)"
        " WHEN 'volume' THEN billed_quantity_before = quantity_before"
        " ELSE billed_quantity_before = greatest(0, quantity_before - included_quantity) END"
    ),
    "ck_invoice_line_volume_tier_rule": (
        "model <> 'volume' OR ((quantity_after > tier_above OR tier_number = 1)"
        " AND (quantity_after <= tier_up_to OR tier_up_to IS NULL))"
    ),
    "ck_invoice_line_volume_tier_before_rule": (
        "model <> 'volume' OR kind <> 'late_usage' OR ((quantity_before > tier_above_before"
        " OR tier_number_before = 1) AND (quantity_before <= tier_up_to_before"
        " OR tier_up_to_before IS NULL))"
    ),
    "ck_invoice_line_packages_rule": (
        "packages * package_size >= billed_quantity AND (packages - 1) * package_size < billed_quantity"
        " AND (packages > 0 OR billed_quantity = 0)"
        " AND packages_before * package_size >= billed_quantity_before"
        " AND (packages_before - 1) * package_size < billed_quantity_before AND (packages_before > 0"
        " OR billed_quantity_before = 0)"
    ),
    "ck_invoice_line_base_rule": (
        "kind <> 'base' OR exact_amount * 10::numeric ^ currency_exponent * days_in_month"
        " = monthly_price_minor * days * exact_denominator"
    ),
    "ck_invoice_line_usage_rule": (
        "NOT kind IN ('overage', 'late_usage') OR (exact_amount * 10::numeric ^ currency_exponent *"
        " days_in_month = exact_denominator * CASE"
        " WHEN model = 'per_unit' AND aggregation = 'sum' THEN billed_quantity * unit_price * 10::numeric ^"
        " currency_exponent * days_in_month"
        " WHEN model = 'per_unit' THEN billed_quantity * unit_price * 10::numeric ^ currency_exponent *"
        " days WHEN model = 'package' AND aggregation = 'sum'"
        " THEN packages * package_price_minor * days_in_month"
        " WHEN model = 'package' THEN packages * package_price_minor * days"
        " WHEN aggregation = 'sum' THEN billed_quantity * unit_price * 10::numeric ^ currency_exponent *"
        " days_in_month + (CASE WHEN billed_quantity > 0 THEN flat_price_minor ELSE 0 END) * days"
        " ELSE (billed_quantity * unit_price * 10::numeric ^ currency_exponent + CASE"
        " WHEN billed_quantity > 0 THEN flat_price_minor ELSE 0 END) * days END)"
    ),
    "ck_invoice_line_usage_before_rule": (
        "kind <> 'late_usage' OR (exact_amount_before * 10::numeric ^ currency_exponent * days_in_month"
        " = exact_denominator * CASE WHEN model = 'per_unit'"
        " AND aggregation = 'sum' THEN billed_quantity_before * coalesce(unit_price_before, unit_price) *"
        " 10::numeric ^ currency_exponent * days_in_month"
        " WHEN model = 'per_unit' THEN billed_quantity_before * coalesce(unit_price_before, unit_price) *"
        " 10::numeric ^ currency_exponent * days"
        " WHEN model = 'package' AND aggregation = 'sum' THEN packages_before * package_price_minor *"
        " days_in_month WHEN model = 'package' THEN packages_before * package_price_minor * days"
        " WHEN aggregation = 'sum' THEN billed_quantity_before * coalesce(unit_price_before, unit_price) *"
        " 10::numeric ^ currency_exponent * days_in_month + (CASE"
        " WHEN billed_quantity_before > 0 THEN coalesce(flat_price_minor_before, flat_price_minor)"
        " ELSE 0 END) * days ELSE (billed_quantity_before * coalesce(unit_price_before, unit_price) *"
        " 10::numeric ^ currency_exponent + CASE"
        " WHEN billed_quantity_before > 0 THEN coalesce(flat_price_minor_before, flat_price_minor)"
        " ELSE 0 END) * days END)"
    ),
    "ck_invoice_line_discount_rule": (
        "CASE WHEN kind <> 'discount' THEN true"
        " WHEN discount_percent IS NOT NULL THEN exact_amount * 100 * 10::numeric ^ currency_exponent"
        " = -discounted_minor * discount_percent AND exact_amount_before * 100 * 10::numeric ^"
        " currency_exponent = -discounted_minor_before * discount_percent"
        " ELSE exact_amount * 10::numeric ^ currency_exponent"
        " = -least(discounted_minor, discount_available_minor)"
        " AND exact_amount_before * 10::numeric ^ currency_exponent"
        " = -least(discounted_minor_before, coalesce(discount_available_minor_before, 0)) END"
    ),
    "ck_invoice_line_discount_limits": (
        "discounted_minor >= 0 AND discounted_minor_before >= 0 AND discount_percent > 0"
        " AND discount_percent <= 100 AND discount_amount_minor > 0"
        " AND discount_available_minor BETWEEN 0 AND discount_amount_minor"
        " AND discount_available_minor_before BETWEEN 0 AND discount_amount_minor"
    ),
    "ck_invoice_line_one_off_rule": "kind <> 'one_off' OR exact_amount = quantity * unit_price",
    "ck_invoice_line_rounded_half_up": (
        "CASE exact_denominator WHEN 1 THEN rated_minor = round(exact_amount * 10::numeric ^"
        " currency_exponent) ELSE sign(rated_minor) IN (0, sign(exact_amount))"
        " AND 2 * exact_denominator * abs(rated_minor) <= 2 * abs(exact_amount) * 10::numeric ^"
        " currency_exponent + exact_denominator AND 2 * abs(exact_amount) * 10::numeric ^ currency_exponent"
        " + exact_denominator < 2 * exact_denominator * (abs(rated_minor) + 1) END"
    ),
    "ck_invoice_line_rounded_half_up_before": (
        "CASE exact_denominator WHEN 1 THEN already_charged_minor"
        " = round(exact_amount_before * 10::numeric ^ currency_exponent)"
        " ELSE sign(already_charged_minor) IN (0, sign(exact_amount_before))"
        " AND 2 * exact_denominator * abs(already_charged_minor)"
        " <= 2 * abs(exact_amount_before) * 10::numeric ^ currency_exponent + exact_denominator"
        " AND 2 * abs(exact_amount_before) * 10::numeric ^ currency_exponent + exact_denominator"
        " < 2 * exact_denominator * (abs(already_charged_minor) + 1) END"
    ),
    "ck_invoice_line_amount_rule": "amount_minor = rated_minor - already_charged_minor",
}

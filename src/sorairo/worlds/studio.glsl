// Ray casting of the studio world. Every shape has a closed-form intersection; soft shadows march a distance
// field through the occluder's bounding sphere only. Slots are sorted by shape, so that each loop runs over one
// shape and a shape that is absent costs nothing (llvmpipe executes both sides of an `if`, but leaves a loop).
#version 330
#define SLOTS 16

layout(std140) uniform Frame {
    vec4 eye;             // camera position, world units
    vec4 right;           // camera axes; right and up carry tan(half the field of view)
    vec4 up;
    vec4 forward;
    vec4 rows[3 * SLOTS]; // world -> local: local = R^T p + t, one row per vec4
};
layout(std140) uniform Scene {
    vec4 ends;            // first slot behind the balls, boxes, cylinders, cones; capsules end at light.w
    vec4 light;           // direction towards the key light; w: end of the capsules
    vec4 key;             // key light colour; w: penumbra sharpness
    vec4 zenith;          // sky colours, linear; w: height of the hills
    vec4 horizon;         // w: brightness of the sun's disc
    vec4 hills;           // w: phase of the hills
    vec4 ground;          // floor colour; w: distance at which the floor fades into the horizon
    vec4 rug;             // colour of the rounded mat; w: its corner radius
    vec4 rug_place;       // centre x y, rotation as cos sin
    vec4 rug_size;        // half extents x y; vignette; exposure
    vec4 sun;             // direction of the disc in the sky
    vec4 size[SLOTS];     // half extents (see scene.py); w: bounding radius
    vec4 albedo[SLOTS];   // linear colour; w: index of the object from 1, 0 for props
    vec4 look[SLOTS];     // reflectance at normal incidence, gloss, metal, glass
};
uniform vec2 frame_size;
uniform float frame_row;
layout(location = 0) out vec4 color;    // sRGB; a: object index
layout(location = 1) out vec4 coverage; // r: bit per object the ray would meet alone, g: the object it meets

const float FAR = 1e4;

vec3 local(int i, vec3 p) {
    return vec3(dot(rows[3*i].xyz, p) + rows[3*i].w, dot(rows[3*i+1].xyz, p) + rows[3*i+1].w,
                dot(rows[3*i+2].xyz, p) + rows[3*i+2].w);
}
vec3 turn(int i, vec3 d) { return vec3(dot(rows[3*i].xyz, d), dot(rows[3*i+1].xyz, d), dot(rows[3*i+2].xyz, d)); }
vec3 unturn(int i, vec3 d) { return rows[3*i].xyz * d.x + rows[3*i+1].xyz * d.y + rows[3*i+2].xyz * d.z; }

// --- nearest positive ray parameter, FAR when missed (rd need not be of unit length in o, d) ---
float hit_ball(vec3 o, vec3 d, vec3 s) {
    float b = dot(o, d), h = b * b - dot(o, o) + s.x * s.x;
    float t = -b - sqrt(max(h, 0.0));
    return h > 0.0 && t > 1e-3 ? t : FAR;
}
float hit_box(vec3 o, vec3 d, vec3 s) {
    vec3 m = 1.0 / (d + vec3(1e-9)), n = m * o, k = abs(m) * s;
    vec3 a = -n - k, b = -n + k;
    float near = max(max(a.x, a.y), a.z), far = min(min(b.x, b.y), b.z);
    return near < far && near > 1e-3 ? near : FAR;
}
float hit_cylinder(vec3 o, vec3 d, vec3 s) { // radius s.x, half height s.z
    float a = dot(d.xy, d.xy) + 1e-9, b = dot(o.xy, d.xy), h = b * b - a * (dot(o.xy, o.xy) - s.x * s.x);
    float t = (-b - sqrt(max(h, 0.0))) / a;
    float side = h > 0.0 && abs(o.z + t * d.z) < s.z && t > 1e-3 ? t : FAR;
    float cap = (sign(o.z) * s.z - o.z) / (d.z + 1e-9);
    vec2 q = o.xy + cap * d.xy;
    return min(side, cap > 1e-3 && dot(q, q) < s.x * s.x ? cap : FAR);
}
float hit_cone(vec3 o, vec3 d, vec3 s) { // base radius s.x at z = -s.y, apex at z = s.z
    float g = s.x / (s.y + s.z), gg = g * g, z = s.z - o.z;
    float a = dot(d.xy, d.xy) - gg * d.z * d.z, b = dot(o.xy, d.xy) + gg * z * d.z;
    float c = dot(o.xy, o.xy) - gg * z * z, h = b * b - a * c, root = sqrt(max(h, 0.0));
    float ia = 1.0 / (abs(a) < 1e-7 ? 1e-7 : a), t0 = (-b - root) * ia, t1 = (-b + root) * ia;
    float z0 = o.z + t0 * d.z, z1 = o.z + t1 * d.z;
    t0 = h > 0.0 && t0 > 1e-3 && z0 > -s.y && z0 < s.z ? t0 : FAR;
    t1 = h > 0.0 && t1 > 1e-3 && z1 > -s.y && z1 < s.z ? t1 : FAR;
    float cap = (-s.y - o.z) / (d.z + 1e-9);
    vec2 q = o.xy + cap * d.xy;
    return min(min(t0, t1), cap > 1e-3 && dot(q, q) < s.x * s.x ? cap : FAR);
}
float hit_capsule(vec3 o, vec3 d, vec3 s) { // radius s.x, half length s.z between the centres
    float a = dot(d.xy, d.xy) + 1e-9, b = dot(o.xy, d.xy), h = b * b - a * (dot(o.xy, o.xy) - s.x * s.x);
    float t = (-b - sqrt(max(h, 0.0))) / a, z = o.z + t * d.z;
    float side = h > 0.0 && abs(z) < s.z && t > 1e-3 ? t : FAR;
    vec3 c = o - vec3(0.0, 0.0, sign(z) * s.z);
    return min(side, h > 0.0 ? hit_ball(c, d, s) : FAR);
}

// --- outward normals, with softened edges that catch the light ---
vec3 normal_box(vec3 p, vec3 s) {
    float bevel = 0.16 * min(s.x, min(s.y, s.z)) + 0.004;
    return sign(p) * max(abs(p) - s + bevel, 1e-5);
}
vec3 normal_cylinder(vec3 p, vec3 s) {
    float bevel = 0.14 * min(s.x, s.z) + 0.002, r = length(p.xy) + 1e-6;
    return vec3(p.xy / r * max(r - s.x + bevel, 1e-5), sign(p.z) * max(abs(p.z) - s.z + bevel, 1e-5));
}
vec3 normal_cone(vec3 p, vec3 s) {
    float r = length(p.xy) + 1e-6;
    vec3 side = normalize(vec3(p.xy / r * (s.y + s.z), s.x));
    return mix(side, vec3(0.0, 0.0, -1.0), smoothstep(-s.y + 0.010, -s.y, p.z));
}
vec3 normal_capsule(vec3 p, vec3 s) { return vec3(p.xy, p.z - clamp(p.z, -s.z, s.z)); }

// --- distances, for shadows and occlusion ---
float sd_box(vec3 p, vec3 s) {
    vec3 q = abs(p) - s;
    return length(max(q, 0.0)) + min(max(q.x, max(q.y, q.z)), 0.0);
}
float sd_cylinder(vec3 p, vec3 s) {
    vec2 q = vec2(length(p.xy) - s.x, abs(p.z) - s.z);
    return length(max(q, 0.0)) + min(max(q.x, q.y), 0.0);
}
float sd_cone(vec3 p, vec3 s) {
    float h = s.y + s.z, len = inversesqrt(h * h + s.x * s.x), r = length(p.xy);
    float side = (r * h + (p.z - s.z) * s.x) * len;
    vec2 q = vec2(max(side, 0.0), max(-s.y - p.z, 0.0));
    return side > 0.0 || p.z < -s.y ? length(q) : max(side, -s.y - p.z);
}
float sd_capsule(vec3 p, vec3 s) { return length(vec3(p.xy, p.z - clamp(p.z, -s.z, s.z))) - s.x; }

#define NEAREST(FIRST, LAST, HIT) for (int i = FIRST; i < LAST; i++) { \
    float t = HIT(local(i, eye.xyz), turn(i, d), size[i].xyz); \
    bits += t < FAR && albedo[i].w > 0.5 ? exp2(albedo[i].w - 1.0) : 0.0; \
    slot = t < best ? i : slot; best = min(best, t); }

// The slot that the ray from the eye meets first: -1 the floor, -2 the sky.
int trace(vec3 d, out float best, out float bits) {
    best = d.z < -1e-4 ? -eye.z / d.z : FAR;
    int slot = d.z < -1e-4 ? -1 : -2;
    bits = 0.0;
    NEAREST(0, int(ends.x), hit_ball)
    NEAREST(int(ends.x), int(ends.y), hit_box)
    NEAREST(int(ends.y), int(ends.z), hit_cylinder)
    NEAREST(int(ends.z), int(ends.w), hit_cone)
    NEAREST(int(ends.w), int(light.w), hit_capsule)
    return slot;
}

// One soft shadow a slot, multiplied. The march covers the part of the ray inside an inflated bounding sphere,
// whose length in steps is fixed; the penumbra widens with distance from the occluder (after I. Quilez).
#define MARCH(FIRST, LAST, SD) for (int i = FIRST; i < LAST; i++) { \
    vec3 o = local(i, p), d = turn(i, light.xyz); \
    float r = size[i].w * 1.45 + 0.05, b = dot(o, d), h = b * b - dot(o, o) + r * r, root = sqrt(max(h, 0.0)); \
    float t = max(-b - root, 0.012), stop = h > 0.0 && i != self ? -b + root : -1.0, least = 1.0; \
    for (int n = 0; n < 14 && t < stop && least > -0.98; n++) { \
        float s = SD(o + t * d, size[i].xyz); \
        least = min(least, key.w * s / (t + 0.12)); t += clamp(s, 0.025, 0.3); } \
    least = clamp(least, -1.0, 1.0); \
    lit *= 0.25 * (1.0 + least) * (1.0 + least) * (2.0 - least); }

float shadow(vec3 p, int self) {
    float lit = 1.0;
    for (int i = 0; i < int(ends.x); i++) { // ball: the same penumbra in closed form
        vec3 o = local(i, p);
        float b = dot(o, turn(i, light.xyz)), t = -b;
        float s = sqrt(max(dot(o, o) - b * b, 0.0)) - size[i].x;
        float least = t > 0.0 && i != self ? clamp(key.w * s / (t + 0.12), -1.0, 1.0) : 1.0;
        lit *= 0.25 * (1.0 + least) * (1.0 + least) * (2.0 - least);
    }
    MARCH(int(ends.x), int(ends.y), sd_box)
    MARCH(int(ends.y), int(ends.z), sd_cylinder)
    MARCH(int(ends.z), int(ends.w), sd_cone)
    MARCH(int(ends.w), int(light.w), sd_capsule)
    return lit;
}

#define OCCLUDE(FIRST, LAST, SD) for (int i = FIRST; i < LAST; i++) { \
    vec3 o = local(i, p), d = turn(i, n); \
    float a = max(SD(o + 0.07 * d, size[i].xyz), 0.0) / 0.07, b = max(SD(o + 0.26 * d, size[i].xyz), 0.0) / 0.26; \
    open *= i == self ? 1.0 : mix(0.42, 1.0, smoothstep(0.0, 1.0, 0.45 * min(a, 1.0) + 0.55 * min(b, 1.0))); }
float sd_ball(vec3 p, vec3 s) { return length(p) - s.x; }

float openness(vec3 p, vec3 n, int self) { // two taps along the normal: how much of the sky a point sees
    float open = self < 0 ? 1.0 : mix(0.55, 1.0, smoothstep(0.0, 0.30, p.z + 0.18 * n.z + 0.05));
    OCCLUDE(0, int(ends.x), sd_ball)
    OCCLUDE(int(ends.x), int(ends.y), sd_box)
    OCCLUDE(int(ends.y), int(ends.z), sd_cylinder)
    OCCLUDE(int(ends.z), int(ends.w), sd_cone)
    OCCLUDE(int(ends.w), int(light.w), sd_capsule)
    return open;
}

vec2 square(vec2 z) { return vec2(z.x * z.x - z.y * z.y, 2.0 * z.x * z.y); }

vec3 sky(vec3 d) {
    vec3 c = mix(horizon.rgb, zenith.rgb, 1.0 - exp(-3.2 * max(d.z, 0.0)));
    float s = dot(d, sun.xyz);
    c += horizon.w * (0.55 * smoothstep(0.9938, 0.9952, s) + 0.30 * exp(-28.0 * (1.0 - s))) * key.rgb;
    vec2 z = d.xy * inversesqrt(dot(d.xy, d.xy) + 1e-9), z4 = square(square(z)), z8 = square(z4), z16 = square(z8);
    vec2 ph = vec2(cos(hills.w), sin(hills.w));
    float far_ridge = zenith.w * (1.0 + 0.55 * dot(z8, ph) + 0.30 * dot(z16, ph.yx));
    float near_ridge = zenith.w * (0.45 + 0.50 * dot(z8, -ph.yx) + 0.28 * dot(z16, vec2(-ph.x, ph.y)));
    c = mix(c, mix(horizon.rgb, hills.rgb, 0.55), smoothstep(0.004, -0.004, d.z - far_ridge));
    return mix(c, mix(horizon.rgb, hills.rgb, 0.95), smoothstep(0.004, -0.004, d.z - near_ridge));
}

vec3 floor_albedo(vec3 p, float t) {
    vec2 q = p.xy - rug_place.xy;
    q = abs(vec2(dot(q, rug_place.zw), dot(q, vec2(-rug_place.w, rug_place.z)))) - rug_size.xy + rug.w;
    float s = length(max(q, 0.0)) + min(max(q.x, q.y), 0.0) - rug.w, w = 0.006 * t;
    return mix(rug.rgb, ground.rgb, smoothstep(-w, w, s));
}

// What a reflection sees: the sky, a wide soft box above, the floor below.
vec3 surroundings(vec3 r) {
    vec3 above = mix(horizon.rgb, zenith.rgb, clamp(1.3 * r.z, 0.0, 1.0));
    above += 0.55 * key.rgb * smoothstep(0.55, 0.95, dot(r, normalize(light.xyz + vec3(0.0, 0.0, 0.5))));
    return mix(ground.rgb * 0.62, above, smoothstep(-0.10, 0.10, r.z));
}

vec3 shade(vec3 d, int slot, float t) {
    vec3 p = eye.xyz + t * d, n = vec3(0.0, 0.0, 1.0), l = light.xyz;
    int i = max(slot, 0);
    vec3 q = local(i, p), s = size[i].xyz;
    vec3 m = slot < int(ends.x) ? q : slot < int(ends.y) ? normal_box(q, s) : slot < int(ends.z) ?
        normal_cylinder(q, s) : slot < int(ends.w) ? normal_cone(q, s) : normal_capsule(q, s);
    bool on_floor = slot < 0;
    n = on_floor ? n : normalize(unturn(i, m));
    vec3 base = on_floor ? floor_albedo(p, t) : albedo[i].rgb;
    vec4 finish = on_floor ? vec4(0.0) : look[i];

    float direct = max(dot(n, l) * 0.90 + 0.10, 0.0) * shadow(p + 0.004 * n, slot);
    float open = openness(p, n, slot);
    vec3 fill = mix(ground.rgb * 0.62, mix(zenith.rgb, vec3(dot(zenith.rgb, vec3(0.33))), 0.6) + 0.12, 0.5 + 0.5 * n.z);
    vec3 lit = key.rgb * direct + fill * 0.62 * open;

    vec3 r = reflect(d, n);
    float facing = clamp(1.0 + dot(d, n), 0.0, 1.0), fresnel = facing * facing * facing * facing;
    float glint = max(dot(r, l), 0.0), gloss = finish.y;
    float spot = finish.x * 9.0 * pow(glint, gloss) * min(direct * 1.5, 1.0);
    vec3 mirror = surroundings(r) * mix(0.6, 1.0, open);
    vec3 dielectric = base * lit + (finish.x + fresnel * finish.x * 5.0) * mirror + spot * key.rgb;
    vec3 metal = base * (mirror * 1.15 + 0.30 * lit) + fresnel * 0.25 * mirror + base * spot * 0.8;
    vec3 c = mix(dielectric, metal, finish.z);
    float fade = on_floor ? 1.0 - exp(-(t * t) / (ground.w * ground.w)) : 0.0;
    return mix(c, horizon.rgb * 0.5 + 0.5 * mix(horizon.rgb, hills.rgb, 0.9), fade);
}

vec3 ray(vec2 pixel) {
    vec2 s = 2.0 * pixel / frame_size - 1.0;
    return normalize(forward.xyz + s.x * right.xyz - s.y * up.xyz);
}

vec3 develop(vec3 c) { // exposure, a soft shoulder above 0.7, sRGB
    c *= rug_size.w;
    vec3 x = max(c - 0.7, 0.0);
    c = min(c, 0.7) + 0.3 * x / (x + 0.3);
    return mix(12.92 * c, 1.055 * pow(max(c, 1e-5), vec3(1.0 / 2.4)) - 0.055, step(0.0031308, c));
}

void main() {
    vec2 pixel = vec2(gl_FragCoord.x, gl_FragCoord.y - frame_row); // row 0 is the top of the picture
    float t, bits, first_bits = 0.0;
    int a = 0, b = 0, c = 0, d = 0, last = 8;
    vec3 sum = vec3(0.0);
    // Turns 0 to 3 ask what four sub-pixels see; if all see the same, turn 4 shades the middle, else 4 to 7 each
    // shade one. One loop, because the driver compiles every call of trace() and shade() anew.
    for (int k = 0; k < last; k++) {
        float j = float(k & 3);
        vec2 at = k > 3 && last == 5 ? vec2(0.0) : 0.25 * vec2(mod(2.0 * j + 1.0 + floor(j * 0.5), 4.0), j) - 0.375;
        vec3 way = ray(pixel + at);
        int slot = trace(way, t, bits);
        first_bits = k == 0 ? bits : first_bits;
        a = k == 0 ? slot : a; b = k == 1 ? slot : b; c = k == 2 ? slot : c; d = k == 3 ? slot : d;
        last = k == 3 && a == b && b == c && c == d ? 5 : last;
        for (int once = k < 4 ? 1 : 0; once < 1; once++) {
            vec3 seen = sky(way);
            for (int shaded = slot == -2 ? 1 : 0; shaded < 1; shaded++) seen = shade(way, slot, t);
            sum += develop(seen);
        }
    }
    float samples = float(last - 4);
    vec2 e = 2.0 * pixel / frame_size - 1.0;
    float edge = 1.0 - rug_size.z * dot(e, e) * 0.5;
    int most = a == b || a == c ? a : b == c || b == d ? b : c == d ? c : a;
    float id = most < 0 ? 0.0 : albedo[max(most, 0)].w, front = a < 0 ? 0.0 : albedo[max(a, 0)].w;
    color = vec4(edge * sum / samples, id / 255.0);
    coverage = vec4(first_bits / 255.0, front / 255.0, 0.0, 1.0);
}

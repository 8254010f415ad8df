// The studio world, drawn in passes over an atlas of frames, one above another. Every pass is instanced rectangles:
// the driver (llvmpipe) executes both sides of every branch and each loop at least once, so what should be skipped
// must not be rasterised. Shapes are closed-form ray intersections; soft shadows march a distance field inside the
// occluder's bounding sphere. render.py puts #version, PASS_<name>, and HIT, NORMAL, SD of one shape in front.
#define SLOTS 16
#define FRAMES 64

layout(std140) uniform Cameras { vec4 cameras[4 * FRAMES]; }; // eye; right and up times tan(half field); forward
layout(std140) uniform Bodies { vec4 rows[3 * SLOTS * FRAMES]; }; // world -> local, local = R^T p + t
layout(std140) uniform Scene {
    vec4 ends;            // first slot behind the balls, boxes, cylinders, cones; capsules end at light.w
    vec4 light;           // direction towards the key light; w: end of the capsules
    vec4 key;             // key light colour; w: sharpness of penumbras
    vec4 zenith;          // sky colours, linear; w: height of the hills
    vec4 horizon;         // w: brightness of the disc in the sky
    vec4 hills;           // w: phase of the hills
    vec4 ground;          // floor colour; w: distance at which the floor fades into the hills
    vec4 rug;             // colour of the rounded mat; w: its corner radius
    vec4 rug_place;       // centre x y, rotation as cos sin
    vec4 rug_size;        // half extents x y; vignette; exposure
    vec4 sun;             // direction of the disc
    vec4 size[SLOTS];     // half extents (see scene.py); w: bounding radius
};
uniform vec2 frame_size;
uniform vec2 atlas_size;

#ifdef VERTEX
in vec2 corner;
in vec4 rect;  // left, top, right, bottom in pixels of the frame
in vec2 place; // frame, slot
in vec4 tint;  // albedo, linear; w: number of the object from 1, 0 for props
in vec4 finish;
flat out vec4 eye, right, up, forward, row0, row1, row2, extent, albedo, look;
flat out vec2 at;
void main() {
    int f = int(place.x), i = int(place.y);
    eye = cameras[4*f]; right = cameras[4*f+1]; up = cameras[4*f+2]; forward = cameras[4*f+3];
    row0 = rows[3*(f*SLOTS+i)]; row1 = rows[3*(f*SLOTS+i)+1]; row2 = rows[3*(f*SLOTS+i)+2];
    extent = size[i]; albedo = tint; look = finish; at = place;
    vec2 pixel = mix(rect.xy, rect.zw, corner) + vec2(0.0, place.x * frame_size.y);
    gl_Position = vec4(2.0 * pixel / atlas_size - 1.0, 0.0, 1.0);
}
#else
flat in vec4 eye, right, up, forward, row0, row1, row2, extent, albedo, look;
flat in vec2 at;
layout(location = 0) out vec4 color;

const float FAR = 1e4;

vec3 local(vec3 p) { return vec3(dot(row0.xyz, p) + row0.w, dot(row1.xyz, p) + row1.w, dot(row2.xyz, p) + row2.w); }
vec3 turn(vec3 d) { return vec3(dot(row0.xyz, d), dot(row1.xyz, d), dot(row2.xyz, d)); }
vec3 unturn(vec3 d) { return row0.xyz * d.x + row1.xyz * d.y + row2.xyz * d.z; }
int base(int i) { return 3 * (int(at.x) * SLOTS + i); }
vec3 local(int i, vec3 p) { int b = base(i);
    return vec3(dot(rows[b].xyz, p) + rows[b].w, dot(rows[b+1].xyz, p) + rows[b+1].w,
                dot(rows[b+2].xyz, p) + rows[b+2].w); }
vec3 turn(int i, vec3 d) { int b = base(i); return vec3(dot(rows[b].xyz, d), dot(rows[b+1].xyz, d), dot(rows[b+2].xyz, d)); }

vec2 frame_pixel() { return gl_FragCoord.xy - vec2(0.0, at.x * frame_size.y); } // row 0 is the top of the picture
vec3 ray(vec2 pixel) {
    vec2 s = 2.0 * pixel / frame_size - 1.0;
    return normalize(forward.xyz + s.x * right.xyz - s.y * up.xyz);
}

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


// Where a ray meets the floor, a little below it: what a body buries there is not seen.
float ground_at(vec3 d) { return d.z < -1e-4 ? (eye.z + 0.02) / -d.z : FAR; }

float sd_ball(vec3 p, vec3 s) { return length(p) - s.x; }
vec3 normal_ball(vec3 p, vec3 s) { return p; }

float penumbra(float least) { least = clamp(least, -1.0, 1.0); return 0.25 * (1.0 + least) * (1.0 + least) * (2.0 - least); }

// The part of the key light that an occluder leaves at local point o, towards d. The march covers the stretch of the
// ray inside an inflated bounding sphere; penumbras widen with the distance from the occluder (after I. Quilez).
#define MARCH(SD, o, d, s, skip) { \
    float r = s.w * 1.35 + 0.05, b = dot(o, d), h = b * b - dot(o, o) + r * r, root = sqrt(max(h, 0.0)); \
    float t = max(-b - root, 0.012), stop = h > 0.0 && !(skip) ? -b + root : -1.0; \
    for (int n = 0; n < 14 && t < stop && least > -0.98; n++) { \
        float g = SD(o + t * d, s.xyz); \
        least = min(least, key.w * g / (t + 0.12)); t += clamp(g, 0.025, 0.3); } }

float ball_least(vec3 o, vec3 d, float radius) { // the same penumbra in closed form
    float b = dot(o, d), t = -b, g = sqrt(max(dot(o, o) - b * b, 0.0)) - radius;
    return t > 0.0 ? key.w * g / (t + 0.12) : 1.0;
}

// How much of the sky an occluder leaves: two taps along the normal.
#define OPEN(SD, o, d, s) mix(0.42, 1.0, smoothstep(0.0, 1.0, \
    0.45 * min(max(SD(o + 0.07 * d, s), 0.0) / 0.07, 1.0) + 0.55 * min(max(SD(o + 0.26 * d, s), 0.0) / 0.26, 1.0)))

vec3 fill_light(float up_part) {
    vec3 above = mix(zenith.rgb, vec3(dot(zenith.rgb, vec3(0.33))), 0.6) + 0.12;
    return 0.62 * mix(ground.rgb * 0.62, above, 0.5 + 0.5 * up_part);
}

#ifdef PASS_sky
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


void main() { color = vec4(sky(ray(frame_pixel())), 1.0); }
#endif

#ifdef PASS_floor
vec3 floor_albedo(vec3 p, float t) {
    vec2 q = p.xy - rug_place.xy;
    q = abs(vec2(dot(q, rug_place.zw), dot(q, vec2(-rug_place.w, rug_place.z)))) - rug_size.xy + rug.w;
    float s = length(max(q, 0.0)) + min(max(q.x, q.y), 0.0) - rug.w, w = 0.006 * t;
    return mix(rug.rgb, ground.rgb, smoothstep(-w, w, s));
}


void main() {
    vec3 d = ray(frame_pixel());
    float t = eye.z / max(-d.z, 1e-4);
    vec3 lit = key.rgb * (0.10 + 0.90 * light.z) + fill_light(1.0);
    float fade = 1.0 - exp(-(t * t) / (ground.w * ground.w));
    color = vec4(mix(floor_albedo(eye.xyz + t * d, t) * lit, mix(horizon.rgb, hills.rgb, 0.95), fade), 1.0);
}
#endif

#ifdef PASS_shadow // multiplies the floor by what this body leaves of its light
void main() {
    vec3 d = ray(frame_pixel());
    vec3 p = eye.xyz + eye.z / max(-d.z, 1e-4) * d, o = local(p), l = turn(light.xyz), n = turn(vec3(0.0, 0.0, 1.0));
    float least = 1.0;
#ifdef BALL
    least = ball_least(o, l, extent.x);
#else
    MARCH(SD, o, l, extent, false)
#endif
    vec3 direct = key.rgb * (0.10 + 0.90 * light.z), fill = fill_light(1.0);
    color = vec4((direct * penumbra(least) + fill * OPEN(SD, o, n, extent.xyz)) / (direct + fill), 1.0);
}
#endif

#ifdef PASS_mask
void main() {
    vec3 d = ray(frame_pixel());
    float t = HIT(local(eye.xyz), turn(d), extent.xyz);
    if (t >= ground_at(d)) discard;
    gl_FragDepth = t / 128.0;
    color = vec4(exp2(albedo.w - 1.0) * step(0.5, albedo.w), albedo.w, 0.0, 0.0) / 255.0;
}
#endif

#ifdef PASS_body
// What a reflection sees: the sky, a wide soft box above, the floor below.
vec3 surroundings(vec3 r) {
    vec3 above = mix(horizon.rgb, zenith.rgb, clamp(1.3 * r.z, 0.0, 1.0));
    above += 0.55 * key.rgb * smoothstep(0.55, 0.95, dot(r, normalize(light.xyz + vec3(0.0, 0.0, 0.5))));
    return mix(ground.rgb * 0.62, above, smoothstep(-0.10, 0.10, r.z));
}


#define SHADE(FIRST, LAST, SD) for (int i = FIRST; i < LAST; i++) { \
    vec3 o = local(i, p), l = turn(i, light.xyz), m = turn(i, n); vec4 s = size[i]; float least = 1.0; \
    MARCH(SD, o, l, s, i == self) \
    lit *= penumbra(least); open *= i == self ? 1.0 : OPEN(SD, o, m, s.xyz); }

void main() {
    vec2 pixel = frame_pixel();
    vec3 o = local(eye.xyz), d = vec3(0.0), q = vec3(0.0);
    float t = FAR;
    int covered = 0;
    for (int k = 0; k < 5; k++) { // four samples for the edge, then the middle, where the surface is shaded
        float j = float(k & 3);
        vec2 shift = k == 4 ? vec2(0.0) : 0.25 * vec2(mod(2.0 * j + 1.0 + floor(j * 0.5), 4.0), j) - 0.375;
        vec3 way = ray(pixel + shift);
        float far = HIT(o, turn(way), extent.xyz);
        bool hit = far < ground_at(way);
        covered |= hit && k < 4 ? 1 << k : 0;
        t = hit ? far : t;
        d = hit ? way : d;
    }
    if (covered == 0) discard;
    gl_SampleMask[0] = covered;
    gl_FragDepth = t / 128.0;

    int self = int(at.y);
    vec3 p = eye.xyz + t * d, n = normalize(unturn(NORMAL(local(p), extent.xyz)));
    p += 0.004 * n;
    float lit = 1.0, open = mix(0.55, 1.0, smoothstep(0.0, 0.30, p.z + 0.18 * n.z + 0.05));
    for (int i = 0; i < int(ends.x); i++) {
        vec3 o = local(i, p), m = turn(i, n);
        lit *= i == self ? 1.0 : penumbra(ball_least(o, turn(i, light.xyz), size[i].x));
        open *= i == self ? 1.0 : OPEN(sd_ball, o, m, size[i].xyz);
    }
    SHADE(int(ends.x), int(ends.y), sd_box)
    SHADE(int(ends.y), int(ends.z), sd_cylinder)
    SHADE(int(ends.z), int(ends.w), sd_cone)
    SHADE(int(ends.w), int(light.w), sd_capsule)

    float direct = max(dot(n, light.xyz) * 0.90 + 0.10, 0.0) * lit;
    vec3 light_in = key.rgb * direct + fill_light(n.z) * open;
    vec3 r = reflect(d, n), tone = albedo.rgb;
    float facing = clamp(1.0 + dot(d, n), 0.0, 1.0), fresnel = facing * facing * facing * facing;
    float spot = look.x * 9.0 * pow(max(dot(r, light.xyz), 1e-3), look.y) * min(direct * 1.5, 1.0);
    vec3 mirror = surroundings(r) * mix(0.6, 1.0, open);
    vec3 dielectric = tone * light_in + (look.x + fresnel * look.x * 5.0) * mirror + spot * key.rgb;
    vec3 metal = tone * (mirror * 1.15 + 0.30 * light_in) + fresnel * 0.25 * mirror + tone * spot * 0.8;
    color = vec4(mix(dielectric, metal, look.z), 1.0);
}
#endif

#ifdef PASS_develop // exposure, a soft shoulder above 0.7, sRGB, vignette
uniform sampler2D picture;
void main() {
    vec3 c = texelFetch(picture, ivec2(gl_FragCoord.xy), 0).rgb * rug_size.w;
    vec3 x = max(c - 0.7, 0.0);
    c = min(c, 0.7) + 0.3 * x / (x + 0.3);
    c = mix(12.92 * c, 1.055 * pow(max(c, 1e-5), vec3(1.0 / 2.4)) - 0.055, step(0.0031308, c));
    vec2 e = 2.0 * frame_pixel() / frame_size - 1.0;
    color = vec4(c * (1.0 - rug_size.z * dot(e, e) * 0.5), 1.0);
}
#endif
#endif
